"""The state of the simulated WeCom: bots, codes, chats and files. Has no HTTP and no WebSocket."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from wx2mqtt.simulator.faults import Faults
from wx2mqtt.simulator.ilink.settings import SimulatedClock
from wx2mqtt.simulator.settings import SimulatorSettings
from wx2mqtt.simulator.violations import Violations
from wx2mqtt.simulator.waiting_condition import WaitingCondition
from wx2mqtt.simulator.wecom import events
from wx2mqtt.simulator.wecom.bot import Bot
from wx2mqtt.simulator.wecom.chat_log import ChatLog
from wx2mqtt.simulator.wecom.codes import NOT_SUBSCRIBED
from wx2mqtt.simulator.wecom.connection import Connection
from wx2mqtt.simulator.wecom.files import Files
from wx2mqtt.simulator.wecom.qr_codes import CodeStatus, ScanCode, ScanCodes
from wx2mqtt.simulator.wecom.settings import WeComSettings
from wx2mqtt.simulator.world import World

HOME_BOT_ID = "aibHomeBot0000000000000000000001"
HOME_BOT_SECRET = "SimulatedSecretOfTheHomeBot0000000000000001"  # noqa: S105 - of the simulation
HOME_BOT_NAME = "家"
"""A bot that is there from the start, for programs that are configured with id and secret."""

DEFAULT_GROUP = "family"
"""The group in which each bot is at first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refused subscription: its credentials and when it was (seconds of the simulated clock)."""

    credentials: tuple[str, str]
    time: float


class SimulatedWeCom:
    """The state of the servers. Of the settings of web WeChat it uses `strict`.

    `count_call` counts a call or a command by its name and wakes the tests that wait for it.
    """

    def __init__(
        self,
        *,
        world: World,
        violations: Violations,
        faults: Faults,
        shared_settings: SimulatorSettings,
        count_call: Callable[[str], None],
        seed: int | None = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.world = world
        self.violations = violations
        self.faults = faults
        self.shared_settings = shared_settings
        self.count_call = count_call
        self.settings = WeComSettings()
        self.clock = SimulatedClock()
        self.changes = WaitingCondition()
        self.codes = ScanCodes(self.rng)
        self.chats = ChatLog()
        self.files = Files(self.rng)
        self.connections: set[Connection] = set()
        self.refused: Counter[int] = Counter()
        self.refusals: dict[str, Refusal] = {}
        self.bots: dict[str, Bot] = {}
        self.add_bot(bot_id=HOME_BOT_ID, secret=HOME_BOT_SECRET, name=HOME_BOT_NAME)

    def notify_changed(self) -> None:
        """Wakes the tasks that wait for a state."""
        self.changes.notify()

    # Bots

    def add_bot(self, *, bot_id: str = "", secret: str = "", name: str = "", person: str = "") -> Bot:
        """Makes a bot; what is not given is made up. It is in the group of the family."""
        bot = Bot(
            bot_id=bot_id or f"aib{self.rng.getrandbits(112):028x}",
            secret=secret or f"{self.rng.getrandbits(172):043x}",
            name=name or HOME_BOT_NAME,
            person=person,
            groups={DEFAULT_GROUP},
        )
        self.bots[bot.bot_id] = bot
        self.notify_changed()
        return bot

    def default_bot(self) -> Bot:
        """Returns the bot that an order means which names none: an online one, else the newest."""
        newest_first = [*reversed(self.bots.values())]
        return next((bot for bot in newest_first if bot.is_online), newest_first[0])

    def close_all(self) -> None:
        """Closes all connections, as at the end of the servers."""
        for connection in self.connections:
            connection.close(1001)
        self.chats.changes.notify()
        self.notify_changed()

    # Connections

    def attach(self, bot: Bot, connection: Connection) -> None:
        """Makes this the connection of a bot; an older one is told and closed (wecom 2.6)."""
        if bot.connection is not None:
            self.replace(bot)
            bot.taken_over_at = self.clock.now()
        bot.connection = connection
        bot.address = connection.address
        bot.subscribed = True
        bot.elsewhere = False
        bot.subscriptions += 1
        connection.bot_id = bot.bot_id
        self.notify_changed()

    def replace(self, bot: Bot) -> bool:
        """Tells the connection of a bot that another one replaces it, and closes it.

        Returns whether there was one.
        """
        older = bot.connection
        bot.connection, bot.subscribed = None, False
        if older is None:
            return False
        older.replaced = True
        event: dict[str, object] = {"eventtype": "disconnected_event"}
        body = events.event_fields(self.rng, bot.bot_id, event, self.clock.now())
        older.post(events.callback_frame(events.new_req_id(self.rng), body))
        older.close(self.settings.close_code, "replaced by another connection")
        self.notify_changed()
        return True

    def take_over(self, bot: Bot) -> bool:
        """Another program, outside of the simulation, subscribes; returns whether one was connected here."""
        was_online = self.replace(bot)
        bot.elsewhere = True
        bot.taken_over_at = self.clock.now()
        self.notify_changed()
        return was_online

    def detach(self, connection: Connection) -> None:
        """Forgets a connection that has ended."""
        self.connections.discard(connection)
        bot = self.bots.get(connection.bot_id)
        if bot is not None and bot.connection is connection:
            bot.connection, bot.subscribed = None, False
        self.notify_changed()

    def record_refusal(self, errcode: int) -> None:
        """Counts a code that a program got; 846609 and the others alike."""
        self.refused[errcode] += 1
        if errcode == NOT_SUBSCRIBED:
            self.notify_changed()

    # Actions of the phone with a code

    def scan(self, code: ScanCode, person: str) -> None:
        """Scans a code for a person; raises `ActionNotPossible` and `UnknownPerson`."""
        code.scan(self.world.person(person).id)
        self.notify_changed()

    def confirm(self, code: ScanCode) -> Bot:
        """Makes the bot of who scanned, or returns the one that they have; raises `ActionNotPossible`."""
        bot = self._bot_of(code.person) if self.settings.scan_makes == "same" else None
        if code.current_status() is CodeStatus.SCANNED and bot is None:
            bot = self.add_bot(person=code.person)
        code.confirm(bot.bot_id if bot else "")
        self.notify_changed()
        assert bot is not None
        return bot

    def _bot_of(self, person: str) -> Bot | None:
        return next((bot for bot in self.bots.values() if bot.person and bot.person == person), None)
