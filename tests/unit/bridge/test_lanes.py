"""The commands in memory: each in the lane of its chat, found again whatever becomes of the chat's name."""

from __future__ import annotations

from itertools import count

import pytest

from wx2mqtt.bridge import lanes as memory
from wx2mqtt.bridge.lanes import Key, Lane, Lanes
from wx2mqtt.model import Command, PersonId, SendKey
from wx2mqtt.store.journal import CommandRow, CommandState, Reply

WIFE, MOM = PersonId(1), PersonId(2)
TO_ME = Reply(topic="me/x", correlation=None, shape="result", name="", transaction=None)


class Memory:
    """Lanes whose people are `known` by name, and a disk that holds `rows`."""

    def __init__(self):
        self.known: dict[str, PersonId] = {}
        self.rows: list[CommandRow] = []
        self.lanes = Lanes(self._key_of)
        self._numbers = count(1)

    def _key_of(self, row: CommandRow) -> Key:
        return row.person or self.known.get(row.command.user, PersonId(0)) or row.command.user

    def empty(self, lane: Lane) -> None:
        """All of it is settled."""
        for row in tuple(lane.rows):
            self.lanes.forget(row)
            self.rows.remove(row)
        self.lanes.close(lane)

    def row(self, user="wife", person=None, replies=()):
        return CommandRow(
            id=next(self._numbers),
            command=Command(user=user, text="x"),
            command_id="a",
            fingerprint="",
            person=person,
            key=SendKey("1"),
            accepted=0,
            expires=1000,
            replies=replies,
            open=False,
            unknown=0,
            attempts=0,
            duplicate_possible=False,
            state=CommandState.WAITING,
            result=None,
        )

    async def due(self, limit, skip):
        return [row for row in self.rows if row.person not in skip][:limit]

    async def fill(self):
        await self.lanes.fill(self.due)

    def held(self):
        return [[row.id for row in lane.rows] for lane in self.lanes.idle()]


@pytest.fixture
async def here():
    memory = Memory()
    await memory.fill()
    return memory


async def test_a_row_is_added_once_and_gets_the_places_that_wait_for_it(here):
    row = here.row(person=WIFE)
    here.lanes.add(row)
    again = here.row(person=WIFE, replies=(TO_ME,))
    here.lanes.add(
        CommandRow(**{**{name: getattr(row, name) for name in row.__slots__}, "replies": again.replies})
    )
    assert here.held() == [[row.id]]
    assert here.lanes.replies(row) == (TO_ME,)


async def test_who_was_named_before_the_first_login_keeps_one_lane_after_it(here):
    early = here.row()
    here.lanes.add(early)
    here.known["wife"] = WIFE
    late = here.row(person=WIFE)
    here.lanes.add(late)
    assert here.held() == [[early.id, late.id]]
    for row in (early, late):
        assert here.lanes.left(row) < 10
        here.lanes.forget(row)
    assert here.held() == []


async def test_a_row_is_found_and_forgotten_though_its_person_is_known_by_now(here):
    row = here.row(replies=(TO_ME,))
    here.lanes.add(row)
    here.known["wife"] = WIFE
    assert here.lanes.replies(row) == (TO_ME,)
    here.lanes.forget(row)
    assert here.held() == []
    assert here.lanes.replies(row) == ()


async def test_two_lanes_of_people_who_turn_out_to_be_one_are_emptied_both(here):
    first, second = here.row("wife", WIFE), here.row("老婆")
    for row in (first, second):
        here.lanes.add(row)
    here.known["老婆"] = WIFE
    here.lanes.sort()
    for row in (first, second):
        here.lanes.forget(row)
    assert here.held() == []


async def test_the_lane_that_is_closed_is_the_one_that_was_worked_on(here):
    early, other = here.row(), here.row("mom", MOM)
    for row in (early, other):
        here.lanes.add(row)
    lane = here.lanes.idle()[0]
    here.known["wife"] = WIFE
    here.lanes.sort()
    here.lanes.forget(early)
    here.lanes.close(lane)
    assert here.held() == [[other.id]]


async def test_a_full_chat_fills_its_own_lane_only(here, monkeypatch):
    monkeypatch.setattr(memory, "PER_CHAT", 3)
    here.rows = [here.row(person=WIFE) for _ in range(10)] + [here.row("mom", MOM)]
    here.lanes.behind = True
    await here.fill()
    assert here.held() == [[1, 2, 3], [11]]
    here.lanes.add(here.row(person=WIFE))
    assert here.held() == [[1, 2, 3], [11]], "it waits behind those on disk"


async def test_what_comes_while_the_disk_is_read_stays_behind_what_is_read(here):
    class Comes:
        async def due(self, _limit, _skip):
            here.lanes.add(late)
            return [early]

    early, late = here.row(person=WIFE), here.row(person=WIFE)
    here.lanes.behind = True
    await here.lanes.fill(Comes().due)
    assert here.held() == [[early.id]]
    assert here.lanes.wants


async def test_those_whom_nobody_knows_yet_are_read_again_and_again_until_all_are_there(here, monkeypatch):
    monkeypatch.setattr(memory, "CHUNK", 4)
    here.rows = [here.row(name) for name in "abcdefgh"]
    here.lanes.behind = True
    await here.fill()
    assert here.lanes.wants, "they can only be skipped together, so more may be there"
    for lane in here.lanes.idle():
        here.empty(lane)
    await here.fill()
    assert here.held() == [[5], [6], [7], [8]]


async def test_a_chat_of_which_only_a_part_was_read_gets_the_rest_in_order(here, monkeypatch):
    monkeypatch.setattr(memory, "CHUNK", 4)
    here.rows = [here.row(person=(WIFE, MOM)[number % 2]) for number in range(10)]
    here.lanes.behind = True
    await here.fill()
    assert here.held() == [[1, 3], [2, 4]]
    late = here.row(person=WIFE)
    here.lanes.add(late)
    here.rows.append(late)
    read = []
    while lanes := here.lanes.idle():
        read += [row.id for row in lanes[0].rows]
        here.empty(lanes[0])
        if here.lanes.wants:
            await here.fill()
    assert sorted(read) == list(range(1, 12))
    assert [number for number in read if number % 2] == [1, 3, 5, 7, 9, 11]


async def test_more_than_fits_of_somebody_who_was_joined_to_another_is_read_later_and_not_for_ever(
    here, monkeypatch
):
    monkeypatch.setattr(memory, "CHUNK", 2)
    monkeypatch.setattr(memory, "PER_CHAT", 3)
    here.lanes = Lanes(lambda _: WIFE)
    here.rows = [here.row("老婆", MOM) for _ in range(6)] + [here.row(person=WIFE) for _ in range(3)]
    read = []
    while here.lanes.wants:
        await here.fill()
        for lane in here.lanes.idle():
            read += [row.id for row in lane.rows]
            here.empty(lane)
    assert sorted(read) == list(range(1, 10))
    assert here.rows == []
