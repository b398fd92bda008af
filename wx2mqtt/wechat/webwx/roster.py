"""Who is called what in which group, and who is known at all: just enough to name senders, kept small.

A UserName has up to 66 characters and an account may have 150,000 group members, so names are found by the
hash of the UserName, and a group's names are one piece of bytes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from wx2mqtt.model import ChatKind, Contact, Handle, Member, Owner
from wx2mqtt.wechat.webwx.contacts import kind_of_name

REMEMBERED = 2048  # names of members that wrote lately


class _Group:
    """The names of one group's members, sorted by hash."""

    __slots__ = ("_hashes", "_names", "own_name")

    def __init__(self, members: Iterable[Member], owner: Handle) -> None:
        rows = sorted((hash(member.handle), _shown(member)) for member in members)
        self._hashes = array("q", (row[0] for row in rows))
        self._names = "\n".join(row[1] for row in rows).encode()
        self.own_name = self.name(owner) or ""

    def __len__(self) -> int:
        return len(self._hashes)

    def all(self) -> dict[int, str]:
        """Everybody's name, by hash."""
        return dict(zip(self._hashes, self._names.decode().split("\n"), strict=True)) if self._hashes else {}

    def name(self, member: str) -> str | None:
        """The name shown in the group; None for somebody who is not in it."""
        wanted = hash(member)
        at = bisect_left(self._hashes, wanted)
        if at == len(self._hashes) or self._hashes[at] != wanted:
            return None
        return self._names.decode().split("\n")[at]


@dataclass(frozen=True, slots=True)
class Turn:
    """Who is new in a group and who is no longer there.

    Of whoever is gone and was not known outside of the group only the name is left.
    """

    group: Handle
    added: tuple[Member, ...]
    removed: tuple[Member, ...]


class Roster:
    """Everybody that this login has told us of."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self._people: dict[int, Handle] = {}
        self._accounts: set[int] = set()
        self._avatars: dict[int, int] = {}
        self._groups: dict[str, _Group] = {}
        self._turns: list[Turn] = []
        self._lately: OrderedDict[tuple[str, str], str] = OrderedDict()

    def learn(self, contacts: Iterable[Contact]) -> None:
        """Take in new or changed contacts."""
        for contact in contacts:
            if contact.kind is ChatKind.GROUP:
                self._learn_group(contact)
            else:
                self._people[hash(contact.handle)] = contact.handle
            if contact.kind is ChatKind.OFFICIAL:
                self._accounts.add(hash(contact.handle))
            if contact.avatar.isdecimal():
                self._avatars[hash(contact.handle)] = int(contact.avatar)

    def forget(self, handle: Handle) -> None:
        """Somebody is gone."""
        self._people.pop(hash(handle), None)
        self._avatars.pop(hash(handle), None)
        self._groups.pop(handle, None)

    def knows(self, handle: str) -> bool:
        """Whether a chat's other side has been told to us; a group only with its members."""
        if handle in self._groups or hash(handle) in self._people:
            return True
        kind = kind_of_name(handle, self.owner.handle)
        return kind is not None and kind is not ChatKind.GROUP

    def kind(self, handle: str) -> ChatKind:
        """What a chat is."""
        known = kind_of_name(handle, self.owner.handle)
        if known is not None:
            return known
        official = hash(handle) in self._accounts or handle.startswith("gh_")
        return ChatKind.OFFICIAL if official else ChatKind.FRIEND

    def avatar(self, handle: str) -> str | None:
        """The number of somebody's picture, empty when it is not known; None for somebody who is not."""
        seq = self._avatars.get(hash(handle))
        if seq is not None:
            return str(seq)
        return "" if self.knows(handle) else None

    def name(self, group: str, member: str) -> str | None:
        """How a group shows one of its members; None when it is not known."""
        lately = self._lately.get((group, member))
        if lately is not None:
            return lately
        roster = self._groups.get(group)
        name = None if roster is None else roster.name(member)
        if name is not None:
            self._remember(group, member, name)
        return name

    def size(self, group: str) -> int:
        """How many members a group has; 0 while that is not known."""
        roster = self._groups.get(group)
        return 0 if roster is None else len(roster)

    def own_names(self, group: str) -> tuple[str, ...]:
        """The names under which the owner may be mentioned in a group."""
        roster = self._groups.get(group)
        names = (roster.own_name if roster else "", self.owner.nickname)
        return tuple(dict.fromkeys(filter(None, names)))

    def take_turns(self) -> list[Turn]:
        """What came about in groups that were known before, since this was asked last."""
        turns, self._turns = self._turns, []
        return turns

    def _note_turn(self, group: Handle, before: _Group, members: tuple[Member, ...]) -> None:
        were, are = before.all(), {hash(member.handle): member for member in members}
        added = tuple(member for number, member in are.items() if number not in were)
        removed = tuple(self._gone(number, name) for number, name in were.items() if number not in are)
        if added or removed:
            self._turns.append(Turn(group, added, removed))

    def _gone(self, number: int, name: str) -> Member:
        own = self.owner.handle if number == hash(self.owner.handle) else Handle("")
        return Member(handle=self._people.get(number, own), display_name=name)

    def _learn_group(self, contact: Contact) -> None:
        if contact.members is None:
            return
        before = self._groups.get(contact.handle)
        if before is not None:
            self._note_turn(contact.handle, before, contact.members)
        self._groups[contact.handle] = _Group(contact.members, self.owner.handle)
        for key in [key for key in self._lately if key[0] == contact.handle]:
            del self._lately[key]

    def _remember(self, group: str, member: str, name: str) -> None:
        self._lately[group, member] = name
        if len(self._lately) > REMEMBERED:
            self._lately.popitem(last=False)


def _shown(member: Member) -> str:
    return member.shown.replace("\n", " ")
