"""Group members: their names, just enough to name senders, and events about who came and left.

A UserName has up to 66 characters and an account may have 150,000 group members, so names are found by the
hash of the UserName, and the names of a group are one piece of bytes. The member lists say who came or
left; system texts say who did it, and all that is known of a group without a list. A change in both is one
event. (webwx 2.11.9, 3.10.3)
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from wx2mqtt.model import ChatKind, Contact, Cursor, Event, Handle, Kind, Member, Message, Owner
from wx2mqtt.wechat.webwx.protocol.contacts import chat_kind_of
from wx2mqtt.wechat.webwx.protocol.system_messages import OWNER_MARK, GroupNotice, group_notice

MEMBER_CACHE_SIZE = 2048  # names of members that wrote lately


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

    def names_by_hash(self) -> dict[int, str]:
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
class MemberChange:
    """Who is new in a group and who is no longer there.

    Of whoever is gone and was not known outside of the group only the name is left.
    """

    group: Handle
    added: tuple[Member, ...]
    removed: tuple[Member, ...]


class GroupMembers:
    """Everybody that this login has told us of."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self._people: dict[int, Handle] = {}
        self._accounts: set[int] = set()
        self._avatars: dict[int, int] = {}
        self._groups: dict[str, _Group] = {}
        self._changes: list[MemberChange] = []
        self._recent_names: OrderedDict[tuple[str, str], str] = OrderedDict()

    def update(self, contacts: Iterable[Contact]) -> None:
        """Take in new or changed contacts."""
        for contact in contacts:
            if contact.kind is ChatKind.GROUP:
                self._update_group(contact)
            else:
                self._people[hash(contact.handle)] = contact.handle
            if contact.kind is ChatKind.OFFICIAL:
                self._accounts.add(hash(contact.handle))
            if contact.avatar.isdecimal():
                self._avatars[hash(contact.handle)] = int(contact.avatar)

    def remove(self, handle: Handle) -> None:
        """Somebody is gone."""
        self._people.pop(hash(handle), None)
        self._avatars.pop(hash(handle), None)
        self._groups.pop(handle, None)

    def contains(self, handle: str) -> bool:
        """Whether a chat's other side has been told to us; a group only with its members."""
        if handle in self._groups or hash(handle) in self._people:
            return True
        kind = chat_kind_of(handle, self.owner.handle)
        return kind is not None and kind is not ChatKind.GROUP

    def chat_kind(self, handle: str) -> ChatKind:
        """What a chat is."""
        known = chat_kind_of(handle, self.owner.handle)
        if known is not None:
            return known
        official = hash(handle) in self._accounts or handle.startswith("gh_")
        return ChatKind.OFFICIAL if official else ChatKind.FRIEND

    def avatar_seq(self, handle: str) -> str | None:
        """The number of somebody's picture, empty when it is not known; None for somebody who is not."""
        seq = self._avatars.get(hash(handle))
        if seq is not None:
            return str(seq)
        return "" if self.contains(handle) else None

    def member_name(self, group: str, member: str) -> str | None:
        """How a group shows one of its members; None when it is not known."""
        lately = self._recent_names.get((group, member))
        if lately is not None:
            return lately
        roster = self._groups.get(group)
        name = None if roster is None else roster.name(member)
        if name is not None:
            self._cache_name(group, member, name)
        return name

    def member_count(self, group: str) -> int:
        """How many members a group has; 0 while that is not known."""
        roster = self._groups.get(group)
        return 0 if roster is None else len(roster)

    def own_names(self, group: str) -> tuple[str, ...]:
        """The names under which the owner may be mentioned in a group."""
        roster = self._groups.get(group)
        names = (roster.own_name if roster else "", self.owner.nickname)
        return tuple(dict.fromkeys(filter(None, names)))

    def pop_changes(self) -> list[MemberChange]:
        """What came about in groups that were known before, since this was asked last."""
        turns, self._changes = self._changes, []
        return turns

    def _record_change(self, group: Handle, before: _Group, members: tuple[Member, ...]) -> None:
        were, are = before.names_by_hash(), {hash(member.handle): member for member in members}
        added = tuple(member for number, member in are.items() if number not in were)
        removed = tuple(
            self._removed_member(number, name) for number, name in were.items() if number not in are
        )
        if added or removed:
            self._changes.append(MemberChange(group, added, removed))

    def _removed_member(self, number: int, name: str) -> Member:
        own = self.owner.handle if number == hash(self.owner.handle) else Handle("")
        return Member(handle=self._people.get(number, own), display_name=name)

    def _update_group(self, contact: Contact) -> None:
        if contact.members is None:
            return
        before = self._groups.get(contact.handle)
        if before is not None:
            self._record_change(contact.handle, before, contact.members)
        self._groups[contact.handle] = _Group(contact.members, self.owner.handle)
        for key in [key for key in self._recent_names if key[0] == contact.handle]:
            del self._recent_names[key]

    def _cache_name(self, group: str, member: str, name: str) -> None:
        self._recent_names[group, member] = name
        if len(self._recent_names) > MEMBER_CACHE_SIZE:
            self._recent_names.popitem(last=False)


def _shown(member: Member) -> str:
    return member.shown_name.replace("\n", " ")


NoticedMessages = list[tuple[Message, GroupNotice]]


def notices_in(items: Iterable[object]) -> NoticedMessages:
    """The system texts that say something of their group."""
    return [
        (item, news)
        for item in items
        if isinstance(item, Message) and item.kind is Kind.SYSTEM and item.chat_kind is ChatKind.GROUP
        if (news := group_notice(item.text)) is not None
    ]


def groups_to_refresh(notices: NoticedMessages) -> set[Handle]:
    """The groups of which we know too little by such texts; not those that the owner is out of."""
    return {message.chat for message, news in notices if OWNER_MARK not in news.removed}


class GroupChanges:
    """Makes events of turns and texts; kept for one place in the stream, so that it tells the same again."""

    def __init__(self, group_members: GroupMembers) -> None:
        self._group_members = group_members
        self._published: tuple[Cursor, tuple[Event, ...]] = Cursor(""), ()

    def events(self, cursor: Cursor, notices: NoticedMessages, now: int) -> tuple[Event, ...]:
        """What happened since `cursor`, in whose batch `told` stands. `now` in milliseconds."""
        before = self._published[1] if self._published[0] == cursor else ()
        turns = self._group_members.pop_changes()
        fresh = [
            *(self._event_of_change(turn, cursor, notices, now) for turn in turns),
            *self._events_of_notices({turn.group for turn in turns}, notices),
        ]
        known = {event.key for event in before}
        self._published = cursor, (*before, *(event for event in fresh if event.key not in known))
        return self._published[1]

    def _event_of_change(
        self, change: MemberChange, cursor: Cursor, notices: NoticedMessages, now: int
    ) -> Event:
        """Equal for the same place in the stream; names no UserName."""
        names = [member.shown_name for member in (*change.added, *change.removed)]
        place = hashlib.blake2b(f"{cursor}{change.group}{names}".encode(), digest_size=12).hexdigest()
        by = {
            news.by
            for message, news in notices
            if message.chat == change.group
            and ((news.added and change.added) or (news.removed and change.removed))
        }
        return self._event(
            f"members:{place}",
            change.group,
            change.added,
            change.removed,
            by.pop() if len(by) == 1 else "",
            now,
        )

    def _events_of_notices(self, changed_groups: set[Handle], notices: NoticedMessages) -> Iterator[Event]:
        """Texts about groups whose list did not tell it: of the owner, or nobody knows the list."""
        for message, news in notices:
            own = OWNER_MARK in news.added or OWNER_MARK in news.removed
            if message.chat in changed_groups or not (
                own or self._group_members.member_count(message.chat) == 0
            ):
                continue
            if OWNER_MARK in news.removed:
                self._group_members.remove(message.chat)  # a list of later has no news of this
            if news.added or news.removed:
                yield self._event(
                    f"members:{message.key}",
                    message.chat,
                    self._members(news.added),
                    self._members(news.removed),
                    news.by,
                    message.time,
                )

    def _event(
        self,
        key: str,
        group: Handle,
        added: tuple[Member, ...],
        removed: tuple[Member, ...],
        by: str,
        time: int,
    ) -> Event:
        count = self._group_members.member_count(group)
        name = self._group_members.owner.nickname if by == OWNER_MARK else by
        return Event(
            key=key,
            name="group_members",
            time=time,
            chat=group,
            actor=self._group_members.owner.handle if by == OWNER_MARK else None,
            fields={**({"count": count} if count else {}), **({"by": name} if name else {})},
            people={"added": added, "removed": removed},
        )

    def _members(self, names: Sequence[str]) -> tuple[Member, ...]:
        owner = self._group_members.owner
        return tuple(
            Member(handle=owner.handle, nickname=owner.nickname)
            if name == OWNER_MARK
            else Member(handle=Handle(""), display_name=name)
            for name in names
        )
