"""One attempt: what WeChat is asked, and what it answers; echoes of it are known for what they are."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import structlog

from wx2mqtt.bridge.echo import Echoes
from wx2mqtt.bridge.sending.errands import Errand, Errands
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import GatewayError, OutcomeUnknown
from wx2mqtt.model import Done, Draft, Recall, Receipt
from wx2mqtt.store.journal import CommandRow, Journal
from wx2mqtt.wechat.gateway import Gateway

log = structlog.get_logger(__name__)

MUTED = 3  # messages in a row that WeChat gave no number: perhaps nobody sees them (ilink 10.1)

Answer = TypeVar("Answer")


class Trying:
    """Asks WeChat for one account. Never raises but `GatewayError` of what certainly delivers nothing."""

    def __init__(self, *, journal: Journal, gateway: Gateway, errands: Errands, echoes: Echoes) -> None:
        self._journal = journal
        self._gateway = gateway
        self._unconfirmed = 0
        self._errands = errands
        self._echoes = echoes

    @property
    def muted(self) -> bool:
        """Whether WeChat takes messages and perhaps shows them to nobody."""
        return self._gateway.capabilities.window and self._unconfirmed >= MUTED

    async def recover(self) -> None:
        """What the last life knew of that. Raises `StoreError`."""
        codes = await self._journal.last_codes(MUTED) if self._gateway.capabilities.window else []
        self._unconfirmed = next((at for at, code in enumerate(codes) if code == "ok"), len(codes))

    async def prepare(self, errand: Errand) -> None:
        """What takes its time and delivers nothing: a file is uploaded. Raises `GatewayError`."""
        if isinstance(errand, Draft) and errand.attachment is not None:
            await self._gateway.prepare(errand)

    async def once(self, errand: Errand, row: CommandRow) -> Receipt | Done | GatewayError:
        """Ask once. The key is the same on each attempt of the same message."""
        key = self._errands.key(row)
        if isinstance(errand, Recall):
            return await self._answer_to(self._gateway.act(errand, key), row)
        ended = self._echoes.begin(errand.chat, errand.kind)
        message_id = ""
        try:
            outcome = await self._answer_to(self._gateway.send(errand, key), row)
            if isinstance(outcome, Receipt):
                message_id = outcome.message_id
                self._unconfirmed = 0 if message_id else self._unconfirmed + 1
        finally:
            self._echoes.end(errand.chat, errand.kind, ended, message_id)
        return outcome

    async def _answer_to(self, asked: Awaitable[Answer], row: CommandRow) -> Answer | GatewayError:
        try:
            return await asked
        except GatewayError as error:
            return error
        except Exception:  # a fault of ours: whether the request was written is not known
            log.exception("send failed", command=row.command_id)
            return OutcomeUnknown()

    def doubt_echo(self, row: CommandRow) -> None:
        """The echo of an attempt that nobody answered may still come, with a time of about then."""
        chat, seen = self._errands.chat(row), self._errands.seen(row)
        if chat is not None and seen is not None:
            ended = row.result.time if row.result else now_ms()
            self._echoes.doubt(chat, *seen, row.accepted, ended)
