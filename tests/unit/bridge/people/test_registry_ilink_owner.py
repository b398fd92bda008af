"""iLink: the person who scanned is the owner, with any bot; topic and trust stay with them alone."""

from __future__ import annotations

from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.model import ChatKind, Contact, Handle, Owner

ME, OTHER = Handle("o9cq80me@im.wechat"), Handle("o9cq80other@im.wechat")


def contact(user):
    return Contact(handle=user, kind=ChatKind.FRIEND, permanent_id=user)


class PeopleHarness:
    """A people registry and what the store keeps of it over logins and restarts."""

    def __init__(self, **pins):
        self.pins, self.persons, self.topic_names = pins, {}, {}
        self.restart()

    def restart(self, **pins):
        self.pins = pins or self.pins
        self.registry = PeopleRegistry(self.persons.values(), self.topic_names, self.pins)

    def store(self, changes):
        self.persons |= {person.id: person for person in changes.people.persons}
        self.topic_names |= dict(changes.people.topic_names)

    def log_in(self, user, login, *others):
        owner = Owner(handle=user, nickname="")
        self.store(self.registry.apply_directory((), login, owner, 0, complete=False))
        people = [contact(handle) for handle in (user, *others)]
        self.store(self.registry.apply_directory(people, login, owner, 0, complete=True))

    def topic_and_trust(self, user):
        person = self.registry.by_handle(user)
        return person and (person.topic_name, person.trusted)


def test_who_has_scanned_is_called_owner_and_trusted():
    harness = PeopleHarness()
    harness.log_in(ME, "bot-1", OTHER)
    assert harness.topic_and_trust(ME) == ("owner", True)
    assert harness.topic_and_trust(OTHER) == ("friend", False)


def test_the_topic_stays_over_logins_and_restarts():
    harness = PeopleHarness()
    harness.log_in(ME, "bot-1")
    harness.restart()
    assert harness.topic_and_trust(ME) == ("owner", True)  # before anybody has logged in again
    harness.log_in(ME, "bot-2")
    assert harness.topic_and_trust(ME) == ("owner", True)


def test_another_person_who_scans_gets_another_topic_and_the_first_loses_the_trust():
    harness = PeopleHarness()
    harness.log_in(ME, "bot-1")
    harness.log_in(OTHER, "bot-2")
    assert harness.topic_and_trust(OTHER) == ("owner-2", True)
    assert harness.topic_and_trust(ME) == ("owner", False)
    harness.log_in(ME, "bot-3")
    assert (harness.topic_and_trust(ME), harness.topic_and_trust(OTHER)) == (
        ("owner", True),
        ("owner-2", False),
    )


def test_a_pin_names_the_owner():
    harness = PeopleHarness(me=ContactPin(owner=True))
    harness.log_in(ME, "bot-1")
    assert harness.topic_and_trust(ME) == ("me", True)
    harness.restart(wife=ContactPin(ilink=OTHER), me=ContactPin(owner=True))
    harness.log_in(ME, "bot-2", OTHER)
    assert (harness.topic_and_trust(ME), harness.topic_and_trust(OTHER)) == (("me", True), ("wife", True))


def test_who_was_named_once_is_not_trusted_for_it_any_more_when_the_name_is_gone():
    harness = PeopleHarness(wife=ContactPin(ilink=OTHER))
    harness.log_in(ME, "bot-1", OTHER)
    assert harness.topic_and_trust(OTHER) == ("wife", True)
    harness.restart(me=ContactPin(owner=True))
    assert harness.topic_and_trust(OTHER) == ("wife", False)


def test_somebody_else_who_writes_is_a_stranger():
    harness = PeopleHarness()
    harness.log_in(ME, "bot-1")
    harness.store(harness.registry.apply_update([contact(OTHER)], (), 0))
    assert harness.topic_and_trust(OTHER) == ("friend", False)
