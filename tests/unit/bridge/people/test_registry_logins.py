"""Many logins with random changes: no topic ever leads to another person, and the store stays consistent."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.support.repetitions import repetitions
from tests.unit.bridge.address_book import DAY, AddressBook
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.model import ChatKind
from wx2mqtt.store.people import StoredPeople
from wx2mqtt.store.person_records import PeopleChanges
from wx2mqtt.store.sqlite_database import SqliteDatabase

NAMES = ["Ann", "Bob", "Lily", "wife", "家"]
CITIES = ["广州", "深圳", ""]
PINS = {
    "wife": ContactPin(remark="老婆"),
    "ann": ContactPin(nickname="Ann"),
    "family": ContactPin(group="家"),
}
MEMBER_NAMES = ["m" + str(number) for number in range(40)]
KINDS = st.sampled_from([ChatKind.FRIEND, ChatKind.GROUP])
NUMBERS = st.integers(0, 9)
CHANGES = (
    *("befriend", "rename", "copy", "copy", "steal", "steal", "unfriend", "new_picture", "no_picture"),
    *("no_remark", "make_group", "rename_group", "copy_group", "copy_group", "silence"),
)


class RandomPeople:
    """An address book that changes at random.

    Names and cities are copied from others; pictures, remarks, WeChat IDs and attributes cannot be.
    """

    def __init__(self) -> None:
        self.address_book = AddressBook(PINS)
        self.address_book.add_special("filehelper")
        self.silent: set[str] = set()
        self.count = 0
        self.address_book.add_friend("lily", "Lily", remark="老婆")
        for name, picture in (("Ann", False), ("Ann", True), ("Bob", False), ("Lily", True)):
            self._befriend(name, CITIES[0], picture=picture)
        self.make_group(0, 4)
        self.address_book.log_in()

    def pick(self, number: int, kind: ChatKind = ChatKind.FRIEND) -> str | None:
        found = [who for who, contact in self.address_book.contacts.items() if contact.kind is kind]
        return found[number % len(found)] if found else None

    def _fresh(self) -> str:
        self.count += 1
        return f"p{self.count}"

    def _befriend(
        self, name: str, city: str, *, picture: bool = False, remark: str = "", alias: str = ""
    ) -> None:
        who = self._fresh()
        profile = {"sex": "1", "city": city, "attributes": f"1{self.count}"}
        facts = {} if picture else {"avatar": ""}
        self.address_book.add_friend(
            who, name, remark=remark and who, alias=alias and who, profile=profile, **facts
        )

    def befriend(self, number: int, other: int) -> None:
        name, city = NAMES[number % 5], CITIES[other % 3]
        self._befriend(name, city, picture=other > 5, remark="r" * (number == 9), alias="a" * (number == 8))

    def rename(self, number: int, other: int) -> None:
        if who := self.pick(number):
            self.address_book.change(who, nickname=NAMES[other % 5])

    def copy(self, thief: int, victim: int) -> None:
        """Copies the name and all else that a person can choose; removes the picture, which would be evidence."""
        who, whom = self.pick(thief), self.pick(victim)
        if who and whom and who != whom:
            model, own = self.address_book.contacts[whom], self.address_book.contacts[who].profile
            profile = {**model.profile, "attributes": own.get("attributes", "")}
            self.address_book.change(who, nickname=model.nickname, profile=profile, avatar="")

    def steal(self, thief: int, victim: int) -> None:
        """Copies somebody who leaves or changes the name at the same time."""
        self.copy(thief, victim)
        who, whom = self.pick(thief), self.pick(victim)
        if who and whom and who != whom and thief % 2:
            del self.address_book.contacts[whom]
        elif who != whom:
            self.rename(victim, victim + 1)

    def unfriend(self, number: int, other: int) -> None:
        who = self.pick(number)
        if who and other % 2:
            self.address_book.remove_contact(who)
        elif who:
            del self.address_book.contacts[who]

    def new_picture(self, number: int, _other: int) -> None:
        if who := self.pick(number):
            self.address_book.change_picture(who)

    def no_picture(self, number: int, _other: int) -> None:
        if who := self.pick(number):
            self.address_book.change(who, avatar="")

    def no_remark(self, number: int, _other: int) -> None:
        if who := self.pick(number):
            self.address_book.change(who, remark="")

    def make_group(self, number: int, other: int) -> None:
        who = self._fresh()
        self.address_book.add_group(
            who, NAMES[other % 5], *(f"{who}-{place}" for place in range(4 + number % 3))
        )

    def rename_group(self, number: int, other: int) -> None:
        if who := self.pick(number, ChatKind.GROUP):
            self.address_book.change(who, nickname=NAMES[other % 5])

    def copy_group(self, number: int, other: int) -> None:
        """Makes a group of the same name with one of the members, while the original may be silent."""
        if whom := self.pick(number, ChatKind.GROUP):
            who = self._fresh()
            member = (self.address_book.contacts[whom].members or ())[0].nickname
            self.address_book.add_group(
                who,
                self.address_book.contacts[whom].nickname,
                member,
                *(f"{who}-{place}" for place in range(3)),
            )
            self.silent |= {whom} if other % 2 else set()

    def silence(self, number: int, _other: int) -> None:
        if who := self.pick(number, ChatKind.GROUP):
            self.silent ^= {who}


class LoginMachine(RuleBasedStateMachine):
    """An address book that changes at random, and the invariants of the registry that reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.people_model = RandomPeople()
        self.address_book, self.pick = self.people_model.address_book, self.people_model.pick
        self.owners: dict[str, str] = {}

    @rule(
        changes=st.lists(st.tuples(st.sampled_from(CHANGES), NUMBERS, NUMBERS), max_size=5),
        whole=st.booleans(),
    )
    def next_login(self, changes: list[tuple[str, int, int]], whole: bool) -> None:
        for name, number, other in changes:
            getattr(self.people_model, name)(number, other)
        self.address_book.now += DAY
        if whole:
            self.log_in()
        else:
            self.address_book.log_in(without=(self.pick(0) or "", *self.people_model.silent), complete=False)

    @rule(change=st.sampled_from(CHANGES), number=NUMBERS, other=NUMBERS)
    def change_while_logged_in(self, change: str, number: int, other: int) -> None:
        getattr(self.people_model, change)(number, other)

    @rule(number=NUMBERS, kind=KINDS)
    def tell(self, number: int, kind: ChatKind) -> None:
        if who := self.pick(number, kind):
            self.address_book.send_update(who)

    @rule(number=NUMBERS, kind=KINDS)
    def write(self, number: int, kind: ChatKind) -> None:
        if who := self.pick(number, kind):
            self.address_book.receive_message(who, kind)
            person = self.address_book.person_of_handle(self.address_book.handle(who))
            self.address_book.store(self.address_book.registry.mark_wrote(person))

    @rule()
    def log_in(self) -> None:
        self.address_book.log_in(without=tuple(self.people_model.silent))
        self.everybody_listed_has_a_topic()

    @rule()
    def refresh(self) -> None:
        self.address_book.refresh(without=tuple(self.people_model.silent))
        self.everybody_listed_has_a_topic()
        assert self.address_book.refresh(without=tuple(self.people_model.silent)) == PeopleUpdate()

    @rule()
    def restart(self) -> None:
        before = self.address_book.registry.directory()
        self.address_book.restart()
        self.address_book.send_update()  # what the start itself found comes with the first changes
        assert [
            (entry.user, entry.trusted, entry.closed, entry.removed)
            for entry in self.address_book.registry.directory()
        ] == [(entry.user, entry.trusted, entry.closed, entry.removed) for entry in before]

    @rule(number=NUMBERS)
    def decide(self, number: int) -> None:
        closed = [
            (person.topic_name, who)
            for person in self.address_book.persons.values()
            if person.handle is None
            and (who := self.owners.get(person.topic_name)) in self.address_book.contacts
            and self.address_book.topic_name_of(who)
        ]
        if closed:
            level, who = closed[number % len(closed)]
            self.address_book.store(
                self.address_book.registry.assign(
                    level, str(self.address_book.topic_name_of(who)), self.address_book.now
                )
            )
            assert (
                self.address_book.recipient_of(level) == who
                or self.address_book.person_of_topic(level).removed
            )

    @rule()
    def forget(self) -> None:
        self.address_book.now += 10 * DAY
        before = dict(self.address_book.topic_names)
        self.address_book.store(self.address_book.registry.remove_stale(self.address_book.now))
        after = self.address_book.topic_names  # a pin whose name got free may give it to another at once
        self.owners = {
            level: who
            for level, who in self.owners.items()
            if level in after and after[level] == before[level]
        }

    def everybody_listed_has_a_topic(self) -> None:
        listed = [who for who in self.address_book.contacts if who not in self.people_model.silent]
        if any(self.address_book.contacts[who].kind is ChatKind.FRIEND for who in listed):
            assert all(self.address_book.topic_name_of(who) for who in listed)

    @invariant()
    def a_topic_means_one_for_ever(self) -> None:
        for who in self.address_book.contacts:
            level = self.address_book.topic_name_of(who)
            if level is not None:
                assert self.owners.setdefault(level, who) == who
        for level, who in self.owners.items():
            assert self.address_book.recipient_of(level) in {who, None}

    @invariant()
    def trust_follows_the_owners_word(self) -> None:
        for who in self.address_book.contacts:
            if self.address_book.is_trusted(who):
                assert who in {"lily", "filehelper"}

    @invariant()
    def the_store_knows_what_the_memory_knows(self) -> None:
        table = self.address_book.registry._table
        assert table.persons == self.address_book.persons
        assert table.topic_names == self.address_book.topic_names
        assert all(table.topic_names[person.topic_name] == person.id for person in table.persons.values())
        bound = [person.handle for person in table.persons.values() if person.handle is not None]
        assert len(bound) == len(set(bound))
        assert not table.is_dirty


TestLogins = LoginMachine.TestCase
TestLogins.settings = settings(max_examples=repetitions(20, 200), stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("seed", range(3))
async def test_the_store_takes_every_change_and_gives_everybody_back(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    database = await SqliteDatabase.open(tmp_path / "wx2mqtt.db")
    people = StoredPeople(database, "home")
    people_model = RandomPeople()
    address_book, store = people_model.address_book, people_model.address_book.store
    updates: list[PeopleUpdate] = []

    def store_both(changes: PeopleUpdate) -> PeopleUpdate:
        updates.append(changes)
        return store(changes)

    address_book.store = store_both  # type: ignore[method-assign]
    everything = tuple(address_book.persons.values()), tuple(address_book.topic_names.items())
    await people.save(PeopleChanges(persons=everything[0], topic_names=everything[1]))
    for _ in range(60):
        getattr(people_model, rng.choice(CHANGES))(rng.randrange(10), rng.randrange(10))
        if rng.random() < 0.3:
            address_book.log_in(without=tuple(people_model.silent), complete=rng.random() < 0.7)
            address_book.send_update(*rng.sample(sorted(address_book.contacts), 3))
        address_book.now += 10 * DAY
        address_book.store(address_book.registry.remove_stale(address_book.now))
        for changes in updates:
            await people.save(changes.people)
        updates.clear()
    persons, levels, *_ = await people.load()
    assert {person.id: person for person in persons} == address_book.persons
    assert levels == address_book.topic_names
    await database.close()


@pytest.mark.parametrize("seed", range(5))
def test_ten_logins_with_renames_keep_every_topic_that_can_be_kept(seed: int) -> None:
    """Everybody has a picture or a remark; at each login a third changes the name, the picture or the remark."""
    rng = random.Random(seed)
    address_book = AddressBook()
    for number in range(60):
        remark = f"备注{number}" if number % 3 == 0 else ""
        profile = {"city": f"c{number}", "attributes": "1"}
        address_book.add_friend(f"f{number}", f"N{number % 40}", remark=remark, profile=profile)
    for number in range(10):
        address_book.add_group(f"g{number}", f"群{number}", *rng.sample(MEMBER_NAMES, 8))
    address_book.log_in()
    topics = {who: address_book.topic_name_of(who) for who in address_book.contacts}
    for _ in range(10):
        for who in rng.sample(sorted(topics), 23):
            change_something(address_book, who, rng)
        address_book.log_in()
        assert {who: address_book.topic_name_of(who) for who in address_book.contacts} == topics
    assert address_book.registry.closed_count == 0


def change_something(address_book: AddressBook, who: str, rng: random.Random) -> None:
    contact = address_book.contacts[who]
    if contact.kind is ChatKind.GROUP:
        address_book.change(who, nickname=f"群{rng.randrange(1000)}")
    elif contact.remark and rng.random() < 0.5:
        address_book.change_picture(who)
    else:
        address_book.change(who, nickname=f"N{rng.randrange(1000)}")
