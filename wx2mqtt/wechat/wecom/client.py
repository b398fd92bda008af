"""The API client of one bot: the connection in use, requests over it, and the saved login.

Login flow, receiver and sender use it:

    body = await client.request(FrameCommand.SEND, requests.text_message(chat, text))

`request` returns only when WeCom has done it; everything else is a `BackendError` (`error_for`). The login
(`SavedBot`) is a value: a change replaces it, and is saved at once.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from wx2mqtt.errors import BackendError, Rejected, Throttled, Unreachable
from wx2mqtt.i18n.wechat import wecom_text
from wx2mqtt.model import Json
from wx2mqtt.wechat.backend import BackendOptions
from wx2mqtt.wechat.json_reader import JsonObject
from wx2mqtt.wechat.wecom.connection import ConnectionOptions, WeComConnection
from wx2mqtt.wechat.wecom.protocol.codes import Reaction, reaction_to
from wx2mqtt.wechat.wecom.protocol.frames import Answer, FrameCommand

log = structlog.get_logger(__name__)

# How long the bridge waits after "too often".
THROTTLED_RETRY_SECONDS = 60.0


class WeComClient:
    """Holds the connection of one account."""

    def __init__(self, options: BackendOptions) -> None:
        self.language = options.language
        self.clock = options.clock
        self._connection_options = ConnectionOptions(
            clock=options.clock, text=self.text, observe=options.observe, endpoint=options.endpoint
        )
        self._connection: WeComConnection | None = None

    def text(self, message_key: str, /, **facts: object) -> str:
        return wecom_text(self.language, message_key, **facts)

    @property
    def connection(self) -> WeComConnection:
        """The connection in use. Raises `Unreachable` when there is none."""
        if self._connection is None:
            raise Unreachable(self.text("no_connection"))
        return self._connection

    async def open(self) -> WeComConnection:
        """Closes the older connection, and opens another one. Raises `Unreachable`."""
        await self.disconnect()
        self._connection = await WeComConnection.open(self._connection_options)
        return self._connection

    async def disconnect(self) -> None:
        """Closes the connection; without one it does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def request(self, command: FrameCommand, body: Mapping[str, Json]) -> JsonObject:
        """Sends a request over the connection in use, and returns the body of WeCom's answer.

        Raises the error of `error_for` for any other code than 0; `Unreachable` without a connection;
        `OutcomeUnknown` where no answer came; `UnicodeEncodeError` for text that UTF-8 cannot represent.
        """
        connection = self.connection
        answer = await connection.request(command, body)
        if answer.errcode:
            raise await self._refusal(connection, answer, command)
        return answer.body

    async def _refusal(
        self, connection: WeComConnection, answer: Answer, command: FrameCommand
    ) -> BackendError:
        """Returns the error for an answer. A lost subscription ends the connection (wecom 2.8)."""
        log.info("refused", call=command, ret=answer.errcode, errmsg=answer.errmsg)
        if reaction_to(answer.errcode) is Reaction.SUBSCRIBE_AGAIN:
            await connection.close("not_subscribed")
        return self.error_for(answer, command)

    def error_for(self, answer: Answer, command: FrameCommand) -> BackendError:
        """Returns the exception for an error code (wecom 6); all of them say that nothing was delivered."""
        facts = {"ret": answer.errcode, "message": answer.errmsg, "call": str(command)}
        match reaction_to(answer.errcode):
            case Reaction.SUBSCRIBE_AGAIN:
                return Unreachable(self.text("not_subscribed"))
            case Reaction.SEND_UNASKED:
                return Unreachable(self.text("not_taken", **facts))
            case Reaction.NO_CHAT:
                return Rejected(self.text("no_chat", **facts), code="no_chat")
            case Reaction.SLOW_DOWN:
                return Throttled(self.text("too_often", **facts), retry_after=THROTTLED_RETRY_SECONDS)
            case _:
                return Rejected(self.text("not_taken", **facts))
