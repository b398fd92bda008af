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
NOBODY = OwnerTrust(owner=BOT, is_confirmed=True)


def contact(handle: Handle) -> Contact:
    kind, _, chat_id = handle.partition(":")
    return Contact(
        handle=handle,
        kind=ChatKind.GROUP if kind == "group" else ChatKind.FRIEND,
        nickname="group-0a1b2c3d" if kind == "group" else chat_id,
        permanent_id=handle,
    )


class Bridge:
    """What an account of a bot remembers over logins and restarts."""

    def __init__(self, trust: OwnerTrust = NOBODY, **pins: ContactPin) -> None:
        self.persons: dict[PersonId, Person] = {}
        self.levels: dict[str, PersonId] = {}
        self.restart(trust, pins)

    def restart(self, trust: OwnerTrust, pins: Mapping[str, ContactPin]) -> None:
        self.registry = PeopleRegistry(self.persons.values(), self.levels, pins)
        self.registry.set_trust(trust)

    def keep(self, update: PeopleUpdate) -> PeopleUpdate:
        self.persons |= {person.id: person for person in update.people.persons}
        self.levels |= dict(update.people.topic_names)
        return update

    def log_in(self, *handles: Handle) -> None:
        owner = Owner(handle=BOT, nickname="Butler")
        self.keep(self.registry.apply_directory((), "aib1", owner, 0, complete=False))
        people = [contact(handle) for handle in handles]
        self.keep(self.registry.apply_directory(people, "aib1", owner, 0, complete=True))

    def write(self, *handles: Handle) -> None:
        self.keep(self.registry.apply_update([contact(handle) for handle in handles], (), 1))

    def say(self, owner: Handle, *, is_confirmed: bool = True) -> None:
        self.registry.set_trust(OwnerTrust(owner=owner, is_confirmed=is_confirmed))
        self.keep(self.registry.collect_changes())

    def seen(self, handle: Handle) -> tuple[str, bool] | None:
        person = self.registry.by_handle(handle)
        return None if person is None else (person.topic_name, person.trusted)


def test_people_are_called_by_their_ids_and_nobody_is_trusted():
    bridge = Bridge()
    bridge.log_in()
    bridge.write(LI, WANG, FAMILY)
    assert bridge.seen(LI) == ("li", False)
    assert bridge.seen(WANG) == ("Wang", False)
    assert bridge.seen(FAMILY) == ("group-0a1b2c3d", False)


def test_the_handles_stay_over_logins_and_restarts():
    bridge = Bridge()
    bridge.log_in()
    bridge.write(LI)
    bridge.restart(NOBODY, {})
    assert bridge.seen(LI) == ("li", False)
    bridge.log_in()
    assert bridge.seen(LI) == ("li", False)


def test_who_is_named_is_trusted_until_somebody_else_is():
    bridge = Bridge(me=ContactPin(owner=True))
    bridge.log_in()
    bridge.write(LI, WANG)
    bridge.say(LI)
    assert (bridge.seen(LI), bridge.seen(WANG)) == (("me", True), ("Wang", False))
    bridge.say(WANG)
    assert (bridge.seen(LI), bridge.seen(WANG)) == (("li", False), ("me", True))


def test_a_named_owner_without_a_pin_keeps_their_name():
    bridge = Bridge()
    bridge.log_in()
    bridge.write(LI)
    bridge.say(LI)
    assert bridge.seen(LI) == ("li", True)
    bridge.restart(OwnerTrust(owner=LI, is_confirmed=True), {})
    assert bridge.seen(LI) == ("li", True)
    bridge.restart(NOBODY, {})
    assert bridge.seen(LI) == ("li", False)


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_pins_name_people_and_give_trust_on_a_confirmed_bot_only(is_confirmed: bool):
    trust = OwnerTrust(owner=LI, is_confirmed=is_confirmed)
    pins = {
        "me": ContactPin(owner=True),
        "wife": ContactPin(wecom="Wang"),
        "family": ContactPin(wecom="wrk1"),
    }
    bridge = Bridge(trust, **pins)
    bridge.log_in()
    bridge.write(LI, WANG, FAMILY)
    assert bridge.seen(LI) == ("me", is_confirmed)
    assert bridge.seen(WANG) == ("wife", is_confirmed)
    assert bridge.seen(FAMILY) == ("family", False)
    bridge.say(LI, is_confirmed=True)
    assert (bridge.seen(LI), bridge.seen(WANG)) == (("me", True), ("wife", True))


def test_the_trust_of_a_store_does_not_outlive_a_start_on_an_unconfirmed_bot():
    bridge = Bridge(OwnerTrust(owner=LI, is_confirmed=True), wife=ContactPin(wecom="Wang"))
    bridge.log_in()
    bridge.write(LI, WANG)
    bridge.restart(OwnerTrust(owner=LI, is_confirmed=False), {"wife": ContactPin(wecom="Wang")})
    assert (bridge.seen(LI), bridge.seen(WANG)) == (("li", False), ("wife", False))


def test_the_case_of_an_id_matters():
    bridge = Bridge(wife=ContactPin(wecom="wang"))
    bridge.log_in()
    bridge.write(WANG)
    assert bridge.seen(WANG) == ("Wang", False)


def test_whom_a_pin_names_is_there_before_they_write():
    bridge = Bridge(wife=ContactPin(wecom="Wang"))
    bridge.log_in(WANG)
    assert bridge.seen(WANG) == ("wife", True)
    bridge.write(WANG)
    assert bridge.seen(WANG) == ("wife", True)
    assert bridge.registry.count == 1


def test_of_a_person_and_a_group_with_one_id_the_pin_means_who_writes():
    """The bridge had to guess whose id it is, and has guessed wrong."""
    guessed, right = Handle("user:odd"), Handle("group:odd")
    bridge = Bridge(family=ContactPin(wecom="odd"))
    bridge.log_in(guessed)
    assert bridge.seen(guessed) == ("family", True)
    bridge.write(right)
    assert bridge.registry.pin_problem("family") == "pin_fits_several"
    person = bridge.registry.by_handle(right)
    assert person is not None
    bridge.keep(bridge.registry.mark_wrote(person))
    assert bridge.seen(right) == ("family", False)
    assert bridge.registry.pin_problem("family") == ""


def test_of_another_bot_nobody_is_left_and_the_names_are_free():
    bridge = Bridge(me=ContactPin(wecom="li"))
    bridge.log_in()
    bridge.write(LI, WANG)
    before = bridge.registry.by_handle(WANG)
    bridge.registry.forget_everybody()
    assert bridge.registry.count == 0
    assert bridge.registry.by_topic_name("Wang") is None
    assert bridge.registry.apply_update((), (), 3).people.removed == ()
    bridge.log_in()
    bridge.write(WANG)
    after = bridge.registry.by_handle(WANG)
    assert before is not None
    assert after is not None
    assert (after.topic_name, after.id > before.id) == ("Wang", True)
