"""The calls of one account: with the keys and cookies of the login, which are saved when they are renewed.

Login flow, contact list, receiver and sender make their calls through `ApiClient`, which checks the `Ret` of
an answer. `WebWxHttp` returns answers as they are, and keeps the cookies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import field, replace
from typing import Any

import structlog

from wx2mqtt.clock import parse_http_date
from wx2mqtt.errors import BackendError, LoggedOut, OutcomeUnknown, Rejected, StoreError, Throttled
from wx2mqtt.i18n.wechat import webwx_text
from wx2mqtt.model import Owner
from wx2mqtt.values import frozen
from wx2mqtt.wechat.aiohttp_transport import HttpTransport
from wx2mqtt.wechat.backend_options import BackendOptions
from wx2mqtt.wechat.http_client import BadAnswer, HttpClient, StreamedResponse, TimeLimits, read_json
from wx2mqtt.wechat.json_reader import JsonObject, UnreadableJson
from wx2mqtt.wechat.webwx.protocol import responses
from wx2mqtt.wechat.webwx.protocol.codes import RETRY_LATER_CODES, SESSION_ENDED, Ret
from wx2mqtt.wechat.webwx.protocol.cookies import ENDPOINT_HOST, Cookies
from wx2mqtt.wechat.webwx.protocol.endpoints import WEBWX_HEADERS, Endpoint
from wx2mqtt.wechat.webwx.protocol.hosts import (
    FIRST_BASE,
    ClientProfile,
    DesktopClient,
    host_of,
    hosts_at_endpoint,
    hosts_of,
)
from wx2mqtt.wechat.webwx.protocol.requests import Request
from wx2mqtt.wechat.webwx.protocol.session import Session, session_from_saved, session_to_saved

log = structlog.get_logger(__name__)

# The pause after a first "too often"; each further one of the same call doubles it, up to the maximum. The
# server's own lock lasts about half an hour (webwx 6.1.1).
FIRST_RATE_LIMIT_SECONDS = 60.0
MAX_RATE_LIMIT_SECONDS = 1800.0


class RetError(Rejected):
    """WeChat refused a call with the given `Ret`."""

    def __init__(self, message: str, ret: int) -> None:
        super().__init__(message)
        self.ret = ret


class ApiClient:
    """Makes the calls of one account and holds its login."""

    def __init__(self, http: WebWxHttp, options: BackendOptions, desktop: DesktopClient | None) -> None:
        self.http = http
        self.language = options.language
        self.clock = options.clock
        self.endpoint = options.endpoint
        self._credentials = options.credentials
        self._desktop = desktop
        #: The current login; None while there is none.
        self.login: Session | None = None
        #: Login id, skey and cookies as they were saved last; None: the next `save` saves in any case.
        self._saved: tuple[str, str, Cookies] | None = None
        #: How often each call, by its name, was answered with "too often" since its last success.
        self._throttle_counts: Counter[str] = Counter()
        #: The id of the saved login for which a push login was tried; for one login it is tried once.
        self.push_tried_login_id = ""
        self.set_base(FIRST_BASE)

    @property
    def session(self) -> Session:
        """The current login. Raises `LoggedOut` when there is none."""
        if self.login is None:
            raise LoggedOut(self.text("no_login"))
        return self.login

    def require_login(self, login_id: str) -> Session:
        """Returns the current login if it has this id; another login has other handles and uploads.

        Raises `BadAnswer` when another login has begun meanwhile, and `LoggedOut` when there is none.
        """
        session = self.session
        if session.login_id != login_id:
            raise BadAnswer(self.text("another_login"))
        return session

    def text(self, message_key: str, /, **facts: object) -> str:
        """Returns a message of the catalogue in the current language."""
        return webwx_text(self.language, message_key, **facts)

    # Calls

    async def call(self, request: Request) -> JsonObject:
        """Makes a call and returns its JSON answer. Raises `error_for` its `Ret` unless that is 0."""
        answer, ret = await self.call_unchecked(request)
        if ret != Ret.OK:
            raise self.error_for(ret, request.endpoint)
        return answer

    async def call_unchecked(self, request: Request) -> tuple[JsonObject, int]:
        """Makes a call and returns its JSON answer and its `Ret`, whatever that is.

        Raises `BadAnswer` for an answer that cannot be read, or `OutcomeUnknown` after a delivery.
        """
        skey_before = self._skey
        reply = await self.http.call(request)
        try:
            answer = await read_json(reply.body, request.endpoint.kept_keys)
            ret = responses.read_ret(answer)
        except UnreadableJson:
            raise self.unreadable_error(request.endpoint) from None
        self.observe_ret(
            ret, request.endpoint, keys_renewed=reply.cookies_renewed or self._skey != skey_before
        )
        return answer, ret

    @property
    def _skey(self) -> str | None:
        """The key of the current login, which each sync may renew."""
        return None if self.login is None else self.login.skey

    async def call_or_reject(self, request: Request, message_key: str) -> JsonObject:
        """Makes a call that sends or changes something, and returns its JSON answer.

        With a `Ret` other than 0 nothing was done (webwx 1.3.3). Raises `error_for` a `Ret` that a pause or a
        new login cures, and else `RetError` with the message of `message_key`.
        """
        answer, ret = await self.call_unchecked(request)
        if ret == Ret.OK:
            return answer
        if ret in SESSION_ENDED or ret in RETRY_LATER_CODES or ret == Ret.TOO_OFTEN:
            raise self.error_for(ret, request.endpoint)
        if ret == Ret.NOT_A_FRIEND:
            raise RetError(self.text("not_a_friend"), ret)
        text = responses.read_error_message(answer)
        sentence = self.text(message_key, ret=ret)
        raise RetError(f"{sentence}: {text}" if text else sentence, ret)

    def observe_ret(self, ret: int, endpoint: Endpoint, *, keys_renewed: bool) -> None:
        """Records the `Ret` of an answer: each "too often" makes the next pause longer, until a 0 comes.

        Every answer with a `Ret` passes here before `error_for`. A sync renews skey and tickets (webwx
        2.4.2.6), and a call that was made with the previous ones may be refused. So with `keys_renewed` a
        "session over" raises `BadAnswer`, and does not end the login.
        """
        if ret == Ret.OK:
            self._throttle_counts.pop(endpoint.name, None)
        elif ret == Ret.TOO_OFTEN:
            self._throttle_counts[endpoint.name] += 1
        elif keys_renewed and (ret in SESSION_ENDED or ret == Ret.TICKET_ERROR):
            log.info("refused with keys that were renewed meanwhile", call=endpoint.name, ret=ret)
            raise BadAnswer(self.text("stale", ret=ret, call=endpoint.name))

    def unreadable_error(self, endpoint: Endpoint) -> BackendError:
        """Returns the error for an answer that cannot be read; a message may have been delivered."""
        message = self.text("unreadable", call=endpoint.name)
        return OutcomeUnknown(message) if endpoint.is_delivery else BadAnswer(message)

    def error_for(self, ret: int, endpoint: Endpoint) -> BackendError:
        """Returns the error for a `Ret` other than 0 (webwx 1.3.1)."""
        if ret in SESSION_ENDED:
            return LoggedOut(self.text(str(ret)))  # the catalogue has a sentence for each of these codes
        if ret == Ret.TOO_OFTEN:
            doublings = min(self._throttle_counts[endpoint.name] - 1, 10)
            pause = min(MAX_RATE_LIMIT_SECONDS, FIRST_RATE_LIMIT_SECONDS * 2.0**doublings)
            return Throttled(self.text("too_often", ret=ret, call=endpoint.name), retry_after=pause)
        message_key = "later" if ret in RETRY_LATER_CODES else "failed"
        return BadAnswer(self.text(message_key, ret=ret, call=endpoint.name))

    # Login

    def reset_session(self) -> None:
        """Forgets the login and its cookies before another one begins. The saved login stays."""
        self.login = None
        self.http.start_login(Cookies({}))
        self.set_base(FIRST_BASE)

    def set_base(self, base: str) -> None:
        """Makes further calls to the cluster of this base host."""
        self.base = base or FIRST_BASE
        hosts = hosts_of(self.base) if self.endpoint is None else hosts_at_endpoint(self.endpoint)
        lang = "zh_CN" if self.language == "zh" else "en_US"
        self.profile = ClientProfile(hosts=hosts, lang=lang, desktop=self._desktop)

    def update_session(self, **changes: Any) -> None:
        self.login = replace(self.session, **changes)

    async def load(self) -> Session | None:
        """Loads the saved login with its cookies; returns None when there is none for this endpoint."""
        restored = await self._load_saved()
        if restored is None:
            return None
        session, cookies = restored
        self.set_base(session.base)
        self.http.start_login(cookies)
        self.login = replace(session, profile=self.profile)
        self._saved = session.login_id, session.skey, cookies
        return self.login

    async def saved_owner(self) -> Owner | None:
        """Returns the account of the saved login, None when there is none for this endpoint."""
        restored = await self._load_saved()
        return None if restored is None else restored[0].owner

    async def _load_saved(self) -> tuple[Session, Cookies] | None:
        saved = await self._credentials.load()
        return None if saved is None else session_from_saved(saved, self.endpoint)

    async def save(self) -> None:
        """Saves the login if keys or cookies have changed since the last save."""
        session = self.login
        if session is None:
            return
        state = session.login_id, session.skey, self.http.cookies
        if state != self._saved:
            await self._credentials.save(session_to_saved(session, self.http.cookies, self.endpoint))
            self._saved = state

    async def save_if_possible(self) -> None:
        """Saves the login with its position. A failure is logged, and the next `save` tries again."""
        self._saved = None
        try:
            await self.save()
        except StoreError as error:
            log.error("login not saved", reason=str(error))

    async def clear_login(self) -> None:
        """Forgets the login and removes the saved one. A failure to remove it is logged."""
        self.reset_session()
        self._saved = None
        try:
            await self._credentials.clear()
        except StoreError as error:
            log.error("saved login not removed", reason=str(error))


@frozen(repr=False)
class HttpAnswer:
    """A complete answer."""

    body: bytes = field(repr=False)
    #: Another answer renewed the cookies during this exchange.
    cookies_renewed: bool = False


class WebWxHttp:
    """The calls of one account. `cookies` are those of the current login; its answers renew them.

    For tests: `timeouts` replace those of `protocol/endpoints.py`, in seconds by the name of the call;
    `transport` replaces the network.
    """

    def __init__(
        self,
        options: BackendOptions,
        *,
        timeouts: Mapping[str, float] | None = None,
        transport: HttpTransport | None = None,
    ) -> None:
        self.cookies = Cookies({})
        self._endpoint = options.endpoint
        #: Counts the logins, so that a late answer to a call of an earlier one renews no cookie.
        self._login_number = 0
        self.language = options.language
        self._clock = options.clock
        self._timeouts = timeouts or {}
        self._http = HttpClient(options, WEBWX_HEADERS, self._failure_text, transport)

    def start_login(self, cookies: Cookies) -> None:
        """Replaces the cookies by those of another login, which answers to earlier calls do not renew."""
        self._login_number += 1
        self.cookies = cookies

    async def call(self, request: Request) -> HttpAnswer:
        """Makes one exchange. Raises `Unreachable`, or `OutcomeUnknown` where it may have been delivered.

        A status other than 2xx, or 3xx where the call allows it, is `BadAnswer`.
        """
        endpoint = request.endpoint
        async with self.stream(request, bounds_whole=True) as (response, cookies_renewed):
            body = await response.read(endpoint.limit)
        if 200 <= response.status < (400 if endpoint.allows_redirect else 300):
            return HttpAnswer(body=body, cookies_renewed=cookies_renewed)
        raise BadAnswer(webwx_text(self.language, "status", status=response.status, call=endpoint.name))

    @asynccontextmanager
    async def stream(
        self, request: Request, *, bounds_whole: bool = False
    ) -> AsyncIterator[tuple[StreamedResponse, bool]]:
        """Yields an answer of any status, and whether another one renewed the cookies meanwhile.

        The endpoint's timeout bounds the time without a byte; the whole answer only with `bounds_whole`.
        """
        seconds = self._timeouts.get(request.endpoint.name, request.endpoint.timeout)
        limits = TimeLimits(idle=seconds, head=seconds, whole=seconds if bounds_whole else None)
        host = host_of(request.url) if self._endpoint is None else ENDPOINT_HOST
        login_number_before = self._login_number
        cookies_before = self.cookies
        sent_cookies = cookies_before.for_host(host) | dict(request.cookies)
        headers = dict(request.headers)
        if sent_cookies:
            headers["Cookie"] = "; ".join(map("=".join, sent_cookies.items()))
        async with self._http.exchange(
            request.endpoint, request.url, headers=headers, body=request.body, limits=limits
        ) as response:
            cookies_renewed = self.cookies is not cookies_before
            set_cookie_lines = response.headers("set-cookie")
            if set_cookie_lines and self._login_number == login_number_before:
                now = parse_http_date(response.header("date")) or self._clock.wall()
                self.cookies = self.cookies.with_response(host, set_cookie_lines, now)
            yield response, cookies_renewed

    async def close(self) -> None:
        await self._http.close()

    def _failure_text(self, failure: str, call: str) -> str:
        return webwx_text(self.language, failure, call=call)
