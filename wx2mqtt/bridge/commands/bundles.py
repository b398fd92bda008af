"""Decides which texts go out together in one message: a bundle.

iLink's reply window takes few messages (`hold.py`). Where more texts wait for a person than it takes, one
message carries several of them, a paragraph each, in the order in which they would go out one by one:

- The last message of the window, apart from its reserve, carries as many of the waiting texts as fit.
- A digest: if more held texts come free than half of what a window takes, each message carries as many as
  fit. The bridge's own heading stands before the first.

Files are never bundled, nor is a long text that goes out in parts. An important text that can go alone does.

A bundle is one attempt with the key of its leading command. All its commands have the same state:

| in the journal | state | what follows |
|---|---|---|
| `bundle` is empty | waits on its own | it may be put into a bundle |
| `bundle`, attempt open | the commit before the request | it is in doubt after a crash |
| `bundle`, unanswered | in doubt | the same bundle with the same key is attempted once more |
| `bundle` is empty again | certainly not delivered | the bundle is given up, and its heading removed |
| `bundle`, settled | all have results, in one commit | all are sent, failed or uncertain |

So a repeat never carries what was accepted meanwhile, and nobody can drop a single command of a bundle. After
WeChat refused a bundle its commands are sent one by one: the cause may be one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

from wx2mqtt.bridge.commands.chat_queue import ChatQueue, is_important
from wx2mqtt.bridge.commands.hold import HoldQueue
from wx2mqtt.bridge.commands.own_texts import OwnText, own_text
from wx2mqtt.bridge.commands.resolver import BackendRequest, CommandResolver
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import BUNDLE_SEPARATOR, Draft, bundle_text
from wx2mqtt.store.command_records import CommandRow, NewCommand
from wx2mqtt.values import frozen


@frozen
class AttemptPlan:
    """The commands of the next attempt, the leading one first. A bundle that is new may get a `heading`."""

    rows: tuple[CommandRow, ...]
    heading: NewCommand | None = None

    @property
    def is_new_bundle(self) -> bool:
        """Whether the commands are no bundle in the journal yet."""
        return len(self.rows) > 1 and self.rows[0].bundle is None


class BundlePlanner:
    """Plans the attempts of one account."""

    def __init__(self, ctx: AccountContext, resolver: CommandResolver, hold_queue: HoldQueue) -> None:
        self._ctx = ctx
        self._capabilities = ctx.backend.capabilities
        self._resolver = resolver
        self._hold_queue = hold_queue
        # By chat: the commands of bundles that WeChat refused, and the end of the reply window in which the
        # last digest was begun
        self._refused: WeakKeyDictionary[ChatQueue, set[int]] = WeakKeyDictionary()
        self._digest_until: WeakKeyDictionary[ChatQueue, int | None] = WeakKeyDictionary()

    def plan(self, queue: ChatQueue, row: CommandRow) -> AttemptPlan:
        """Returns what the next attempt sends, if it sends the command `row`: alone or in a bundle."""
        if row.bundle is not None:
            return AttemptPlan(rows=queue.members_of(row))
        alone = AttemptPlan(rows=(row,))
        if not self._ctx.settings.account.ilink.bundle or not self._is_bundlable(queue, row):
            return alone
        return self._digest(queue, row) or self._last_message(queue, row) or alone

    def on_refused(self, queue: ChatQueue, members: Iterable[CommandRow]) -> None:
        """Records that WeChat refused a bundle: its commands are sent one by one."""
        refused = self._refused.get(queue, set()) | {member.id for member in members}
        self._refused[queue] = refused & {row.id for row in queue}

    def _last_message(self, queue: ChatQueue, row: CommandRow) -> AttemptPlan | None:
        """Returns the bundle in the last message that the window takes for commands such as this one."""
        if self._hold_queue.messages_left(row) != 1:
            return None
        rows = self._bundlable(queue)
        if is_important(row):
            rows.sort(key=is_important, reverse=True)  # stable: the others take the room that is left
            if not all(map(is_important, rows[:2])):
                return None  # it can go alone
        return _plan_of(_first_that_fit(rows, self._max_characters))

    def _digest(self, queue: ChatQueue, row: CommandRow) -> AttemptPlan | None:
        """Returns a bundle of held texts that came free, if they are many or their digest is begun."""
        window = self._hold_queue.window_of(row)
        if window is None or not row.held_reason:
            return None
        held = [row for row in self._bundlable(queue) if row.held_reason]
        if held[0] != row:  # only important ones may go
            held.sort(key=is_important, reverse=True)
        count = sum(map(is_important, held)) if is_important(row) else len(held)
        is_begun = window.until is not None and self._digest_until.get(queue) == window.until
        if is_begun and count > 1:
            return _plan_of(_first_that_fit(held, self._max_characters))
        quota = self._capabilities.reply_quota
        if not quota or count <= quota // 2:
            return None
        heading = self._heading(row, len(held))
        room = self._max_characters - len(heading.command.text) - len(BUNDLE_SEPARATOR)
        plan = _plan_of(_first_that_fit(held, room))
        if plan is not None:
            self._digest_until[queue] = window.until
        return None if plan is None else replace(plan, heading=heading)

    def _heading(self, row: CommandRow, count: int) -> NewCommand:
        text = bridge_text(self._ctx.language, "digest_heading", count=count)
        return own_text(
            OwnText.DIGEST,
            row.command.user,
            row.person,
            text,
            ttl=self._ctx.settings.account.hold.ttl,
            priority="high" if is_important(row) else "normal",
        )

    @property
    def _max_characters(self) -> int:
        """The largest number of characters of a message."""
        return self._capabilities.part_limit or 0

    def _bundlable(self, queue: ChatQueue) -> list[CommandRow]:
        return [row for row in queue if self._is_bundlable(queue, row)]

    def _is_bundlable(self, queue: ChatQueue, row: CommandRow) -> bool:
        """Returns whether a command may be in a new bundle: a text of which no attempt was begun."""
        is_begun = queue.is_begun(row) or row.id in self._refused.get(queue, ())
        return not is_begun and self._resolver.is_simple(row)


def _plan_of(rows: Sequence[CommandRow]) -> AttemptPlan | None:
    """Returns the plan of a bundle, None where it would be a single text."""
    return AttemptPlan(rows=tuple(rows)) if len(rows) > 1 else None


def _first_that_fit(rows: Iterable[CommandRow], max_characters: int) -> list[CommandRow]:
    """Returns the first commands whose texts fit together. A shorter one behind does not overtake."""
    fitting: list[CommandRow] = []
    room = max_characters + len(BUNDLE_SEPARATOR)
    for row in rows:
        room -= len(row.command.text) + len(BUNDLE_SEPARATOR)
        if room < 0:
            break
        fitting.append(row)
    return fitting


def bundles_of(rows: Iterable[CommandRow]) -> list[list[CommandRow]]:
    """Returns the rows by bundle, in the order of its text; a row that is in none stands alone."""
    by_leader: dict[int, list[CommandRow]] = {}
    for row in sorted(rows, key=lambda row: row.bundle_position):
        by_leader.setdefault(row.id if row.bundle is None else row.bundle, []).append(row)
    return [*by_leader.values()]


def with_texts_of(request: BackendRequest, members: Sequence[CommandRow]) -> BackendRequest:
    """Returns the request of the leading command with the texts of all commands of its bundle."""
    if len(members) < 2 or not isinstance(request, Draft):
        return request
    return replace(request, text=bundle_text(row.command.text for row in members))
