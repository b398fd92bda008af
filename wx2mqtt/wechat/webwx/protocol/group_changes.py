"""Makes events about the members who joined or left a group (webwx 2.11.9, 3.10.3).

    a list that has Bo, after one without; `"Anna" invited "Bo" to the group chat`     added Bo, by Anna

The lists of members (`group_members.py`) show who joined or left. System texts (`membership_texts.py`) show
who made the change, and are the only source for a group without a list. A change in both becomes one event.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from wx2mqtt.model import Cursor, Event, Handle, Member, Message
from wx2mqtt.wechat.webwx.protocol.content import content_facts
from wx2mqtt.wechat.webwx.protocol.group_members import GroupMembers, MemberChange
from wx2mqtt.wechat.webwx.protocol.membership_texts import OWNER_MARK, GroupNotice

# System texts, each with the change of its group that it reports.
NoticedMessages = list[tuple[Message, GroupNotice]]


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
