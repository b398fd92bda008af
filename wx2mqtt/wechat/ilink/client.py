"""The API client of one iLink account: makes calls with the token of its login, and checks their answers.

    answer = await client.call(GET_UPDATES, {"get_updates_buf": ""})    or the `BackendError` of its code

Login flow, receiver and sender use it and never see a token. `bot_logins.py` keeps the logins.
"""

from __future__ import annotations

import secrets

import structlog

from wx2mqtt.errors import BackendError, LoggedOut, OutcomeUnknown, Throttled
from wx2mqtt.i18n.wechat import ilink_text
from wx2mqtt.wechat.backend_options import BackendOptions
from wx2mqtt.wechat.http_client import BadAnswer, read_json
from wx2mqtt.wechat.ilink.bot_logins import BotLogins
from wx2mqtt.wechat.ilink.ilink_http import HttpStatusError, ILinkHttp
from wx2mqtt.wechat.ilink.protocol import endpoints, requests, responses
from wx2mqtt.wechat.ilink.protocol.codes import ERR_LOGGED_OUT, ERR_TOO_OFTEN
from wx2mqtt.wechat.ilink.protocol.endpoints import Endpoint
from wx2mqtt.wechat.ilink.protocol.requests import ClientVersion, JsonBody, Request
from wx2mqtt.wechat.ilink.protocol.session import Bot
from wx2mqtt.wechat.ilink.protocol.trusted_hosts import TrustedHosts
from wx2mqtt.wechat.json_reader import JsonObject, UnreadableJson

log = structlog.get_logger(__name__)

# How long the bridge waits after "too often".
THROTTLED_RETRY_SECONDS = 60.0

HTTP_SERVER_ERROR = 500


class ApiClient:
    """Makes the calls of one account."""

    def __init__(
        self, http: ILinkHttp, options: BackendOptions, hosts: TrustedHosts, version: ClientVersion
    ) -> None:
        self.http = http
        self.version = version
        self.hosts = hosts
        self.language = options.language
        self.clock = options.clock
        self.server_clock = http.server_clock
        self.logins = BotLogins(options, http.server_clock, self.text)
        #: When WeChat last said that a login has ended, or was last asked about one that it had ended; on the
        #: monotonic clock. The login flow asks again some time later.
        self.last_probe_at = float("-inf")
        #: A poll was answered that the login has ended, and no message was sent since.
        self._polls_refused = False

    def text(self, message_key: str, /, **facts: object) -> str:
        return ilink_text(self.language, message_key, **facts)

    async def call(self, endpoint: Endpoint, fields: JsonBody, *, limit: float | None = None) -> JsonObject:
        """Makes a call and returns its answer. Raises the error of `error_for` for an error code."""
        answer = await self.call_unchecked(endpoint, fields, limit=limit)
        ret = responses.error_code(answer)
        if ret:
            self.observe_ret(ret, endpoint)
            raise self.error_for(ret, endpoint)
        return answer

    async def call_unchecked(
        self, endpoint: Endpoint, fields: JsonBody, *, limit: float | None = None, bot: Bot | None = None
    ) -> JsonObject:
        """Makes a call of `bot`, or of the current login; returns its answer, whatever its error code.

        Raises the errors of `ILinkHttp.call`; `BadAnswer` where the answer cannot be read, after a delivery
        `OutcomeUnknown`; `UnicodeEncodeError` for text that UTF-8 cannot represent.
        """
        bot = bot or self.logins.bot
        uin = secrets.randbits(32)
        request = requests.call_request(bot.base, endpoint, fields, bot.token, uin, self.version)
        return await self.call_json(request, limit=limit)

    async def call_json(self, request: Request, *, limit: float | None = None) -> JsonObject:
        """Returns the JSON object of an answer, `{}` for the empty answer to a delivery (ilink 6.2.1)."""
        body = await self.http.call(request, limit=limit)
        if request.endpoint.is_delivery and not body.strip():
            return {}
        try:
            return await read_json(body)
        except UnreadableJson:
            error = OutcomeUnknown if request.endpoint.is_delivery else BadAnswer
            raise error(self.text("unreadable", call=request.endpoint.name)) from None

    async def is_login_valid(self, bot: Bot) -> bool:
        """Returns whether WeChat still accepts a login, by the call that announces a client.

        Only the code "logged out" means that it does not (ilink 4.7.3). Raises `Unreachable`.
        """
        try:
            ret = responses.error_code(await self.call_unchecked(endpoints.NOTIFY_START, {}, bot=bot))
        except HttpStatusError as why:
            if why.status >= HTTP_SERVER_ERROR:
                raise
            ret = why.status
        if ret:
            log.info("presence not taken", ret=ret)
        if ret == ERR_LOGGED_OUT:
            self.last_probe_at = self.clock.monotonic()
            return False
        return True

    async def notify_start_after_refusal(self) -> None:
        """Announces this client once more after a poll was refused, since sends may still be accepted.

        What WeChat answers does not count: the send says it (ilink 4.7.2, 10.4.3).
        """
        if self._polls_refused:
            self._polls_refused = False
            await self.notify_start()

    async def notify_start(self) -> None:
        """Announces this client to WeChat. Errors are only logged."""
        try:
            await self.is_login_valid(self.logins.bot)
        except BackendError as why:
            log.info("presence not told", reason=str(why))

    async def notify_stop(self) -> None:
        """Announces to WeChat that this client stops. Errors are only logged."""
        try:
            await self.call(endpoints.NOTIFY_STOP, {})
        except BackendError as why:
            log.info("goodbye not taken", reason=str(why))

    def observe_ret(self, ret: int, endpoint: Endpoint) -> None:
        """Records that the login has ended, where an error code says so. Called before `error_for`."""
        if ret == ERR_LOGGED_OUT:
            self.last_probe_at = self.clock.monotonic()
            self._polls_refused = self._polls_refused or endpoint is endpoints.GET_UPDATES

    def error_for(self, ret: int, endpoint: Endpoint) -> BackendError:
        """Returns the exception for an error code (ilink 10.3)."""
        if ret == ERR_LOGGED_OUT:
            return LoggedOut(self.text("logged_out"))
        if ret == ERR_TOO_OFTEN:
            return Throttled(
                self.text("too_often", ret=ret, call=endpoint.name), retry_after=THROTTLED_RETRY_SECONDS
            )
        return BadAnswer(self.text("failed", ret=ret, call=endpoint.name))
