"""Who came into groups and who left them, as events (webwx 2.11, 3.10).

The lists of members tell who; what WeChat says of it tells who did it, and all that is known of a group whose
list is not. A change that both tell is one event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from wx2mqtt.model import ChatKind, Cursor, Event, Handle, Kind, Member, Message
from wx2mqtt.wechat.webwx.groupnews import YOU, GroupNews, group_news
from wx2mqtt.wechat.webwx.roster import Roster, Turn

Told = list[tuple[Message, GroupNews]]


def news_in(items: Iterable[object]) -> Told:
    """The system texts that say something of their group."""
    return [
        (item, news)
        for item in items
        if isinstance(item, Message) and item.kind is Kind.SYSTEM and item.chat_kind is ChatKind.GROUP
        if (news := group_news(item.text)) is not None
    ]


def changed_by(told: Told) -> set[Handle]:
    """The groups of which we know too little by such texts; not those that the owner is out of."""
    return {message.chat for message, news in told if YOU not in news.removed}


class Turnover:
    """Makes events of turns and texts; kept for one place in the stream, so that it tells the same again."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._told: tuple[Cursor, tuple[Event, ...]] = Cursor(""), ()

    def events(self, cursor: Cursor, told: Told, now: int) -> tuple[Event, ...]:
        """What happened since `cursor`, in whose batch `told` stands. `now` in milliseconds."""
        before = self._told[1] if self._told[0] == cursor else ()
        turns = self._roster.take_turns()
        fresh = [
            *(self._of_turn(turn, cursor, told, now) for turn in turns),
            *self._of_texts({turn.group for turn in turns}, told),
        ]
        known = {event.key for event in before}
        self._told = cursor, (*before, *(event for event in fresh if event.key not in known))
        return self._told[1]

    def _of_turn(self, turn: Turn, cursor: Cursor, told: Told, now: int) -> Event:
        """Equal for the same place in the stream; names no UserName."""
        names = [member.shown for member in (*turn.added, *turn.removed)]
        place = hashlib.blake2b(f"{cursor}{turn.group}{names}".encode(), digest_size=12).hexdigest()
        by = {
            news.by
            for message, news in told
            if message.chat == turn.group and ((news.added and turn.added) or (news.removed and turn.removed))
        }
        return self._event(
            f"members:{place}", turn.group, turn.added, turn.removed, by.pop() if len(by) == 1 else "", now
        )

    def _of_texts(self, turned: set[Handle], told: Told) -> Iterator[Event]:
        """Texts about groups whose list did not tell it: of the owner, or nobody knows the list."""
        for message, news in told:
            own = YOU in news.added or YOU in news.removed
            if message.chat in turned or not (own or self._roster.size(message.chat) == 0):
                continue
            if YOU in news.removed:
                self._roster.forget(message.chat)  # a list of later has no news of this
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
        count = self._roster.size(group)
        name = self._roster.owner.nickname if by == YOU else by
        return Event(
            key=key,
            name="group_members",
            time=time,
            chat=group,
            actor=self._roster.owner.handle if by == YOU else None,
            fields={**({"count": count} if count else {}), **({"by": name} if name else {})},
            people={"added": added, "removed": removed},
        )

    def _members(self, names: Sequence[str]) -> tuple[Member, ...]:
        owner = self._roster.owner
        return tuple(
            Member(handle=owner.handle, nickname=owner.nickname)
            if name == YOU
            else Member(handle=Handle(""), display_name=name)
            for name in names
        )
