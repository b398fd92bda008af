"""Who is known in this login: people, groups, the names of their members, and who joined or left a group.

    a list that has Bo, after one without; `"Anna" invited "Bo" to the group chat`     added Bo, by Anna

`GroupMembers` names the sender of a message. When a list of members differs from the one before, it keeps the
difference as a `MemberChange`, until `GroupChanges` makes an event of it (webwx 2.11.9, 3.10.3).

The lists show who joined or left. System texts (`membership_texts.py`) show who made the change, and are the
only source for a group without a list. A change in both becomes one event.

A handle has up to 66 characters and an account may have 150,000 group members. To save memory, names are
looked up by the hash of the handle, and the names of a group are stored as one `bytes` object.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from wx2mqtt.model import ChatKind, Contact, Cursor, Event, Handle, Member, Message, Owner
from wx2mqtt.values import frozen
from wx2mqtt.wechat.webwx.protocol.contacts import chat_kind_of
from wx2mqtt.wechat.webwx.protocol.content import content_facts
from wx2mqtt.wechat.webwx.protocol.membership_texts import OWNER_MARK, GroupNotice

# System texts, each with the change of its group that it reports.
NoticedMessages = list[tuple[Message, GroupNotice]]


@frozen(kw_only=False)
class MemberChange:
    """The members who joined and left a group between two member lists."""

    group: Handle
    added: tuple[Member, ...]
    #: A member who is no contact has a name, and an empty handle.
    removed: tuple[Member, ...]


class GroupMembers:
    """The people and groups that this login has received so far, and the names of group members."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        #: Everybody but groups, by the hash of the handle.
        self._people: dict[int, Handle] = {}
        #: The hashes of the handles of official accounts.
        self._official_accounts: set[int] = set()
        #: The version of each avatar, of people and groups, by the hash of the handle.
        self._avatar_versions: dict[int, int] = {}
        #: The groups whose members are known, by handle.
        self._groups: dict[str, _Group] = {}
        #: The changes of groups since `pop_changes`.
        self._changes: list[MemberChange] = []

    def update(self, contacts: Iterable[Contact]) -> None:
        """Stores new or changed contacts, and records changes of members for `pop_changes`."""
        for contact in contacts:
            if contact.kind is ChatKind.GROUP:
                self._update_group(contact.handle, contact.members)
            else:
                self._people[hash(contact.handle)] = contact.handle
            if contact.kind is ChatKind.OFFICIAL:
                self._official_accounts.add(hash(contact.handle))
            if contact.avatar.isdecimal():
                self._avatar_versions[hash(contact.handle)] = int(contact.avatar)

    def _update_group(self, group: Handle, members: tuple[Member, ...] | None) -> None:
        if members is None:
            return
        before = self._groups.get(group)
        self._groups[group] = _Group(members, self.owner.handle)
        if before is None:
            return
        old_names = before.names_by_hash()
        new_members = {hash(member.handle): member for member in members}
        added = tuple(member for key, member in new_members.items() if key not in old_names)
        removed = tuple(
            Member(handle=self._handle_of_hash(key), display_name=name)
            for key, name in old_names.items()
            if key not in new_members
        )
        if added or removed:
            self._changes.append(MemberChange(group, added, removed))

    def _handle_of_hash(self, handle_hash: int) -> Handle:
        """Returns the handle of a contact or of the owner; empty for any other member of a group."""
        if handle_hash in self._people:
            return self._people[handle_hash]
        return self.owner.handle if handle_hash == hash(self.owner.handle) else Handle("")

    def pop_changes(self) -> list[MemberChange]:
        """Returns the changes of known groups since the last call, and forgets them."""
        changes, self._changes = self._changes, []
        return changes

    def remove(self, handle: Handle) -> None:
        self._people.pop(hash(handle), None)
        self._avatar_versions.pop(hash(handle), None)
        self._groups.pop(handle, None)

    def contains(self, handle: str) -> bool:
        """Returns whether the other side of a chat is known; a group is known when its members are."""
        if handle in self._groups or hash(handle) in self._people:
            return True
        kind = chat_kind_of(handle, self.owner.handle)
        return kind is not None and kind is not ChatKind.GROUP

    def chat_kind(self, handle: str) -> ChatKind:
        kind = chat_kind_of(handle, self.owner.handle)
        if kind is not None:
            return kind
        is_official = hash(handle) in self._official_accounts or handle.startswith("gh_")
        return ChatKind.OFFICIAL if is_official else ChatKind.FRIEND

    def avatar_seq(self, handle: str) -> str | None:
        """Returns the version of an avatar, empty if it is unknown, or None for an unknown handle."""
        seq = self._avatar_versions.get(hash(handle))
        if seq is not None:
            return str(seq)
        return "" if self.contains(handle) else None

    def member_name(self, group: str, member: str) -> str | None:
        """Returns the name that a group shows for a member, or None when it is not known."""
        return self._groups.get(group, _NO_GROUP).name(member)

    def member_count(self, group: str) -> int:
        """Returns the number of members of a group; 0 while it is not known."""
        return len(self._groups.get(group, _NO_GROUP))

    def own_names(self, group: str) -> tuple[str, ...]:
        """Returns the names by which a message in a group can mention the owner."""
        names = (self._groups.get(group, _NO_GROUP).own_name, self.owner.nickname)
        return tuple(dict.fromkeys(filter(None, names)))


class GroupChanges:
    """Makes the events of one login. A repeated call with the last cursor returns the same ones again."""

    def __init__(self, group_members: GroupMembers) -> None:
        self._group_members = group_members
        #: The events of the batch at `_last_cursor`.
        self._last_events: tuple[Event, ...] = ()
        self._last_cursor = Cursor("")

    def events(self, cursor: Cursor, notices: NoticedMessages, now: int) -> tuple[Event, ...]:
        """Returns the events of the batch at `cursor`, which holds `notices`. `now` is in milliseconds."""
        earlier_events = self._last_events if cursor == self._last_cursor else ()
        changes = self._group_members.pop_changes()
        if not changes and not notices:
            return earlier_events
        notices_of: defaultdict[Handle, list[GroupNotice]] = defaultdict(list)
        for message, notice in notices:
            notices_of[message.chat].append(notice)
        new_events = [
            self._event_of_change(change, cursor, notices_of[change.group], now) for change in changes
        ]
        new_events += self._events_of_notices({change.group for change in changes}, notices)
        earlier_keys = {event.key for event in earlier_events}
        events = (*earlier_events, *(event for event in new_events if event.key not in earlier_keys))
        self._last_cursor = cursor
        self._last_events = events
        return events

    def _event_of_change(
        self, change: MemberChange, cursor: Cursor, notices: Iterable[GroupNotice], now: int
    ) -> Event:
        """Returns the event of a change of a group, which `notices` may explain.

        Its key is equal for the same change at the same cursor.
        """
        names = [member.shown_name for member in (*change.added, *change.removed)]
        digest = hashlib.blake2b(f"{cursor}{change.group}{names}".encode(), digest_size=12).hexdigest()
        actors = {
            notice.by
            for notice in notices
            if (notice.added and change.added) or (notice.removed and change.removed)
        }
        by = actors.pop() if len(actors) == 1 else ""
        return self._event(f"members:{digest}", change, by, now)

    def _events_of_notices(self, changed_groups: set[Handle], notices: NoticedMessages) -> Iterator[Event]:
        """Returns events of texts without a change of a list: about the owner, or of a group without list."""
        for message, notice in notices:
            has_list = self._group_members.member_count(message.chat) > 0
            if message.chat in changed_groups or (has_list and not notice.concerns_owner):
                continue
            if OWNER_MARK in notice.removed:
                # After a new invitation the next list of this group must not be compared with this one.
                self._group_members.remove(message.chat)
            if notice.added or notice.removed:
                added, removed = self._members(notice.added), self._members(notice.removed)
                change = MemberChange(message.chat, added, removed)
                yield self._event(f"members:{message.key}", change, notice.by, message.time)

    def _event(self, key: str, change: MemberChange, by: str, time: int) -> Event:
        count = self._group_members.member_count(change.group)
        owner = self._group_members.owner
        return Event(
            key=key,
            name="group_members",
            time=time,
            chat=change.group,
            actor=owner.handle if by == OWNER_MARK else None,
            fields=content_facts(count=count or None, by=owner.nickname if by == OWNER_MARK else by),
            people={"added": change.added, "removed": change.removed},
        )

    def _members(self, names: Sequence[str]) -> tuple[Member, ...]:
        owner = self._group_members.owner
        return tuple(
            Member(handle=owner.handle, nickname=owner.nickname)
            if name == OWNER_MARK
            else Member(handle=Handle(""), display_name=name)
            for name in names
        )


class _Group:
    """The names of the members of one group.

    Three parallel arrays, sorted by the hash of the handle: the hashes, all names as one text, and where each
    name ends in it. Members `a` = Anna and `b` = Bo become `[hash(a), hash(b)]`, `AnnaBo` and `[4, 6]`.
    """

    __slots__ = ("_ends", "_hashes", "_names", "own_name")

    def __init__(self, members: Iterable[Member], owner: Handle) -> None:
        rows = sorted(
            (hash(member.handle), member.shown_name.replace("\n", " ").encode()) for member in members
        )
        self._hashes = array("q", (handle_hash for handle_hash, _ in rows))
        self._names = b"".join(name for _, name in rows)
        self._ends = array("I", accumulate(len(name) for _, name in rows))
        self.own_name = self.name(owner) or ""

    def __len__(self) -> int:
        return len(self._hashes)

    def names_by_hash(self) -> dict[int, str]:
        """Returns the names of all members by the hash of their handles."""
        return {handle_hash: self._name_at(index) for index, handle_hash in enumerate(self._hashes)}

    def name(self, member: str) -> str | None:
        """Returns the name that the group shows for a member, or None when the group has no such member."""
        member_hash = hash(member)
        index = bisect_left(self._hashes, member_hash)
        if index == len(self._hashes) or self._hashes[index] != member_hash:
            return None
        return self._name_at(index)

    def _name_at(self, index: int) -> str:
        start = self._ends[index - 1] if index else 0
        return self._names[start : self._ends[index]].decode()


_NO_GROUP = _Group((), Handle(""))
