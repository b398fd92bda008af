"""iLink: the person who scanned is the owner, with any bot; topic and trust stay with them alone."""

from __future__ import annotations

from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.model import ChatKind, Contact, Handle, Owner

ME, OTHER = Handle("o9cq80me@im.wechat"), Handle("o9cq80other@im.wechat")


def contact(user):
    return Contact(handle=user, kind=ChatKind.FRIEND, permanent_id=user)


class Bridge:
    """What an account remembers over logins and restarts."""

    def __init__(self, **pins):
        self.pins, self.persons, self.levels = pins, {}, {}
        self.restart()

    def restart(self, **pins):
        self.pins = pins or self.pins
        self.identity = PeopleRegistry(self.persons.values(), self.levels, self.pins)

    def keep(self, changes):
        self.persons |= {one.id: one for one in changes.people.persons}
        self.levels |= dict(changes.people.topic_names)

    def log_in(self, user, login, *others):
        owner = Owner(handle=user, nickname="")
        self.keep(self.identity.apply_directory((), login, owner, 0, complete=False))
        people = [contact(one) for one in (user, *others)]
        self.keep(self.identity.apply_directory(people, login, owner, 0, complete=True))

    def seen(self, user):
        person = self.identity.by_handle(user)
        return person and (person.topic_name, person.trusted)


def test_who_has_scanned_is_called_owner_and_trusted():
    bridge = Bridge()
    bridge.log_in(ME, "bot-1", OTHER)
    assert bridge.seen(ME) == ("owner", True)
    assert bridge.seen(OTHER) == ("friend", False)


def test_the_topic_stays_over_logins_and_restarts():
    bridge = Bridge()
    bridge.log_in(ME, "bot-1")
    bridge.restart()
    assert bridge.seen(ME) == ("owner", True)  # before anybody has logged in again
    bridge.log_in(ME, "bot-2")
    assert bridge.seen(ME) == ("owner", True)


def test_another_person_who_scans_gets_another_topic_and_the_first_loses_the_trust():
    bridge = Bridge()
    bridge.log_in(ME, "bot-1")
    bridge.log_in(OTHER, "bot-2")
    assert bridge.seen(OTHER) == ("owner-2", True)
    assert bridge.seen(ME) == ("owner", False)
    bridge.log_in(ME, "bot-3")
    assert (bridge.seen(ME), bridge.seen(OTHER)) == (("owner", True), ("owner-2", False))


def test_a_pin_names_the_owner():
    bridge = Bridge(me=ContactPin(owner=True))
    bridge.log_in(ME, "bot-1")
    assert bridge.seen(ME) == ("me", True)
    bridge.restart(wife=ContactPin(ilink=OTHER), me=ContactPin(owner=True))
    bridge.log_in(ME, "bot-2", OTHER)
    assert (bridge.seen(ME), bridge.seen(OTHER)) == (("me", True), ("wife", True))


def test_who_was_named_once_is_not_trusted_for_it_any_more_when_the_name_is_gone():
    bridge = Bridge(wife=ContactPin(ilink=OTHER))
    bridge.log_in(ME, "bot-1", OTHER)
    assert bridge.seen(OTHER) == ("wife", True)
    bridge.restart(me=ContactPin(owner=True))
    assert bridge.seen(OTHER) == ("wife", False)


def test_somebody_else_who_writes_is_a_stranger():
    bridge = Bridge()
    bridge.log_in(ME, "bot-1")
    bridge.keep(bridge.identity.apply_update([contact(OTHER)], (), 0))
    assert bridge.seen(OTHER) == ("friend", False)
