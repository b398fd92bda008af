"""WeCom: people have ids that stay, the operator names the owner, and nobody is trusted on a foreign bot."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from wx2mqtt.bridge.people.evidence import ContactPin, OwnerTrust
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.model import ChatKind, Contact, Handle, Owner, PersonId
from wx2mqtt.store.person_records import Person

BOT = Handle("aib1")
LI, WANG = Handle("user:li"), Handle("user:Wang")
FAMILY = Handle("group:wrk1")
NO_OWNER = OwnerTrust(owner=BOT, is_confirmed=True)


def contact(handle: Handle) -> Contact:
    kind, _, chat_id = handle.partition(":")
    return Contact(
        handle=handle,
        kind=ChatKind.GROUP if kind == "group" else ChatKind.FRIEND,
        nickname="group-0a1b2c3d" if kind == "group" else chat_id,
        permanent_id=handle,
    )


class PeopleHarness:
    """A people registry of a bot and what the store keeps of it over logins and restarts."""

    def __init__(self, trust: OwnerTrust = NO_OWNER, **pins: ContactPin) -> None:
        self.persons: dict[PersonId, Person] = {}
        self.topic_names: dict[str, PersonId] = {}
        self.restart(trust, pins)

    def restart(self, trust: OwnerTrust, pins: Mapping[str, ContactPin]) -> None:
        self.registry = PeopleRegistry(self.persons.values(), self.topic_names, pins)
        self.registry.set_trust(trust)

    def store(self, update: PeopleUpdate) -> PeopleUpdate:
        self.persons |= {person.id: person for person in update.people.persons}
        self.topic_names |= dict(update.people.topic_names)
        return update

    def log_in(self, *handles: Handle) -> None:
        owner = Owner(handle=BOT, nickname="Butler")
        self.store(self.registry.apply_directory((), "aib1", owner, 0, complete=False))
        people = [contact(handle) for handle in handles]
        self.store(self.registry.apply_directory(people, "aib1", owner, 0, complete=True))

    def receive_from(self, *handles: Handle) -> None:
        self.store(self.registry.apply_update([contact(handle) for handle in handles], (), 1))

    def name_owner(self, owner: Handle, *, is_confirmed: bool = True) -> None:
        self.registry.set_trust(OwnerTrust(owner=owner, is_confirmed=is_confirmed))
        self.store(self.registry.collect_changes())

    def topic_and_trust(self, handle: Handle) -> tuple[str, bool] | None:
        person = self.registry.by_handle(handle)
        return None if person is None else (person.topic_name, person.trusted)


def test_people_are_called_by_their_ids_and_nobody_is_trusted():
    harness = PeopleHarness()
    harness.log_in()
    harness.receive_from(LI, WANG, FAMILY)
    assert harness.topic_and_trust(LI) == ("li", False)
    assert harness.topic_and_trust(WANG) == ("Wang", False)
    assert harness.topic_and_trust(FAMILY) == ("group-0a1b2c3d", False)


def test_the_handles_stay_over_logins_and_restarts():
    harness = PeopleHarness()
    harness.log_in()
    harness.receive_from(LI)
    harness.restart(NO_OWNER, {})
    assert harness.topic_and_trust(LI) == ("li", False)
    harness.log_in()
    assert harness.topic_and_trust(LI) == ("li", False)


def test_who_is_named_is_trusted_until_somebody_else_is():
    harness = PeopleHarness(me=ContactPin(owner=True))
    harness.log_in()
    harness.receive_from(LI, WANG)
    harness.name_owner(LI)
    assert (harness.topic_and_trust(LI), harness.topic_and_trust(WANG)) == (("me", True), ("Wang", False))
    harness.name_owner(WANG)
    assert (harness.topic_and_trust(LI), harness.topic_and_trust(WANG)) == (("li", False), ("me", True))


def test_a_named_owner_without_a_pin_keeps_their_name():
    harness = PeopleHarness()
    harness.log_in()
    harness.receive_from(LI)
    harness.name_owner(LI)
    assert harness.topic_and_trust(LI) == ("li", True)
    harness.restart(OwnerTrust(owner=LI, is_confirmed=True), {})
    assert harness.topic_and_trust(LI) == ("li", True)
    harness.restart(NO_OWNER, {})
    assert harness.topic_and_trust(LI) == ("li", False)


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_pins_name_people_and_give_trust_on_a_confirmed_bot_only(is_confirmed: bool):
    trust = OwnerTrust(owner=LI, is_confirmed=is_confirmed)
    pins = {
        "me": ContactPin(owner=True),
        "wife": ContactPin(wecom="Wang"),
        "family": ContactPin(wecom="wrk1"),
    }
    harness = PeopleHarness(trust, **pins)
    harness.log_in()
    harness.receive_from(LI, WANG, FAMILY)
    assert harness.topic_and_trust(LI) == ("me", is_confirmed)
    assert harness.topic_and_trust(WANG) == ("wife", is_confirmed)
    assert harness.topic_and_trust(FAMILY) == ("family", False)
    harness.name_owner(LI, is_confirmed=True)
    assert (harness.topic_and_trust(LI), harness.topic_and_trust(WANG)) == (("me", True), ("wife", True))


def test_the_trust_of_a_store_does_not_outlive_a_start_on_an_unconfirmed_bot():
    harness = PeopleHarness(OwnerTrust(owner=LI, is_confirmed=True), wife=ContactPin(wecom="Wang"))
    harness.log_in()
    harness.receive_from(LI, WANG)
    harness.restart(OwnerTrust(owner=LI, is_confirmed=False), {"wife": ContactPin(wecom="Wang")})
    assert (harness.topic_and_trust(LI), harness.topic_and_trust(WANG)) == (("li", False), ("wife", False))


def test_the_case_of_an_id_matters():
    harness = PeopleHarness(wife=ContactPin(wecom="wang"))
    harness.log_in()
    harness.receive_from(WANG)
    assert harness.topic_and_trust(WANG) == ("Wang", False)


def test_whom_a_pin_names_is_there_before_they_write():
    harness = PeopleHarness(wife=ContactPin(wecom="Wang"))
    harness.log_in(WANG)
    assert harness.topic_and_trust(WANG) == ("wife", True)
    harness.receive_from(WANG)
    assert harness.topic_and_trust(WANG) == ("wife", True)
    assert harness.registry.count == 1


def test_of_a_person_and_a_group_with_one_id_the_pin_means_who_writes():
    """The bridge had to guess whether the id is a person's or a group's, and has guessed wrong."""
    guessed, right = Handle("user:odd"), Handle("group:odd")
    harness = PeopleHarness(family=ContactPin(wecom="odd"))
    harness.log_in(guessed)
    assert harness.topic_and_trust(guessed) == ("family", True)
    harness.receive_from(right)
    assert harness.registry.pin_problem("family") == "pin_fits_several"
    person = harness.registry.by_handle(right)
    assert person is not None
    harness.store(harness.registry.mark_wrote(person))
    assert harness.topic_and_trust(right) == ("family", False)
    assert harness.registry.pin_problem("family") == ""


def test_of_another_bot_nobody_is_left_and_the_names_are_free():
    harness = PeopleHarness(me=ContactPin(wecom="li"))
    harness.log_in()
    harness.receive_from(LI, WANG)
    before = harness.registry.by_handle(WANG)
    harness.registry.forget_everybody()
    assert harness.registry.count == 0
    assert harness.registry.by_topic_name("Wang") is None
    assert harness.registry.apply_update((), (), 3).people.removed == ()
    harness.log_in()
    harness.receive_from(WANG)
    after = harness.registry.by_handle(WANG)
    assert before is not None
    assert after is not None
    assert (after.topic_name, after.id > before.id) == ("Wang", True)
