"""The state of the simulated iLink: codes, bots and chats. Has no HTTP."""

from __future__ import annotations

import base64
import hashlib
import random

from wx2mqtt.simulator.ilink.bot import Bot
from wx2mqtt.simulator.ilink.cdn_storage import CdnStorage, MessageFiles
from wx2mqtt.simulator.ilink.chat_log import ChatLog
from wx2mqtt.simulator.ilink.qr_codes import ActionNotPossible, BotQrCode, BotQrCodes, Credentials
from wx2mqtt.simulator.ilink.settings import ILinkSettings, SimulatedClock
from wx2mqtt.simulator.messages import MessageIds
from wx2mqtt.simulator.settings import SimulatorSettings
from wx2mqtt.simulator.violations import Violations
from wx2mqtt.simulator.waiting_condition import LastMinute, WaitingCondition
from wx2mqtt.simulator.world import World


def user_id_of(person: str) -> str:
    """Returns a person's iLink id: the same in all logins and all runs (ilink 9.1)."""
    digest = hashlib.sha256(f"ilink user {person}".encode()).digest()
    return f"o9cq80{base64.urlsafe_b64encode(digest).decode()[:22]}@im.wechat"


class SimulatedILink:
    """The state of the servers. Of the settings of web WeChat, it uses `strict`."""

    def __init__(
        self,
        *,
        world: World,
        violations: Violations,
        shared_settings: SimulatorSettings,
        seed: int | None = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.world = world
        self.violations = violations
        self.shared_settings = shared_settings
        self.settings = ILinkSettings()
        self.clock = SimulatedClock()
        self.changes = WaitingCondition()
        self.codes = BotQrCodes(self.rng)
        self.chats = ChatLog()
        self.storage = CdnStorage(self.rng)
        self.attachments = MessageFiles()
        self.ids = MessageIds(self.rng)
        self.bots: dict[str, Bot] = {}
        self.muted: set[str] = set()
        self.sends = LastMinute()

    def notify_changed(self) -> None:
        """Wakes the tasks that wait for a state."""
        self.changes.notify()

    def end_all_bots(self) -> None:
        for bot in self.bots.values():
            bot.invalidate()
        self.chats.changes.notify()
        self.notify_changed()

    def active_bot_of(self, person: str) -> Bot | None:
        return next((bot for bot in reversed(self.bots.values()) if bot.person == person and bot.alive), None)

    # Actions of the phone with a code

    def scan(self, code: BotQrCode, person: str) -> None:
        """Scans a code for a person; raises `ActionNotPossible` and `UnknownPerson`."""
        settings = self.settings
        self.world.person(person)
        if settings.refuse_bind:
            raise ActionNotPossible("network error, says the phone; the code stays as it was")
        number = f"{self.rng.randrange(10**6):06d}" if settings.verify_code else ""
        code.scan(person, number=number, max_tries=settings.code_tries, redirect=settings.redirect_host)
        self.notify_changed()

    def confirm(self, code: BotQrCode) -> None:
        """Confirms a code: creates a bot and revokes the person's older one (ilink 9.4).

        A program that is still bound gets no new bot.
        """
        if self._is_bound_to_caller(code):
            code.confirm(None)
        else:
            code.confirm(self._bind(code))
        self.notify_changed()

    def _is_bound_to_caller(self, code: BotQrCode) -> bool:
        living = self.active_bot_of(code.person)
        return self.settings.binded_redirect and living is not None and living.token in code.tokens

    def _bind(self, code: BotQrCode) -> Credentials:
        user_id = user_id_of(code.person)
        bot = Bot(self.rng, person=code.person, user_id=user_id, address=code.address)
        self.unbind(code.person)
        self.bots[bot.token] = bot
        return Credentials(bot_token=bot.token, ilink_bot_id=bot.bot_id, ilink_user_id=user_id)

    def unbind(self, person: str) -> bool:
        """Revokes the person's bot, as a binding elsewhere does; returns whether there was one."""
        bot = self.active_bot_of(person)
        if bot is None:
            return False
        bot.invalidate()
        self.notify_changed()
        return True
