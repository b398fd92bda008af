"""The API client of one login: makes calls with its keys, judges `Ret`, saves renewed keys.

Login flow, contact list, receiver and sender use it and never see a key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import structlog

from wx2mqtt.errors import BackendError, LoggedOut, OutcomeUnknown, Rejected, StoreError, Throttled
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import webwx_text
from wx2mqtt.wechat import json_reader
from wx2mqtt.wechat.backend import CredentialStore
from wx2mqtt.wechat.http import BadAnswer, Clock
from wx2mqtt.wechat.json_reader import JsonObject, UnreadableJson
from wx2mqtt.wechat.webwx.protocol import responses
from wx2mqtt.wechat.webwx.protocol.codes import RETRY_LATER_CODES, SESSION_ENDED, Ret
from wx2mqtt.wechat.webwx.protocol.endpoints import FIRST_BASE, Endpoint, host_of, hosts_at_endpoint, hosts_of
from wx2mqtt.wechat.webwx.protocol.requests import ClientProfile, DesktopClient, Request
from wx2mqtt.wechat.webwx.protocol.session import (
    Cookies,
    Session,
    SyncCursor,
    session_from_saved,
    session_to_saved,
)
from wx2mqtt.wechat.webwx.transport import Transport

log = structlog.get_logger(__name__)

FIRST_RATE_LIMIT_SECONDS = 60.0  # seconds after a first "too often", doubled with each further one
MAX_RATE_LIMIT_SECONDS = 1800.0  # the server's own lock lasts some 30 minutes (webwx 6.1.1)


class RetError(Rejected):
    """WeChat refused what was asked, with this Ret."""

    def __init__(self, message: str, ret: int) -> None:
        super().__init__(message)
        self.ret = ret


class ApiClient:
    """`site` says where and how we speak, `base` which cluster the login was sent to.

    `phone_asked` is the saved login for which a push login was tried: one question is enough.
    """

    def __init__(
        self,
        transport: Transport,
        credentials: CredentialStore,
        *,
        endpoint: str | None,
        desktop: DesktopClient | None,
        language: Language,
        clock: Clock,
    ) -> None:
        self.transport = transport
        self.language = language
        self.clock = clock
        self.endpoint = endpoint
        self._credentials = credentials
        self._desktop = desktop
        self._session: Session | None = None
        self._saved: tuple[str, str, Cookies] | None = None
        self._throttle_counts: Counter[str] = Counter()
        self.push_tried_login_id = ""
        self.base = FIRST_BASE
        self.site = self._build_site()

    @property
    def session(self) -> Session:
        """The login. Raises `LoggedOut` when there is none."""
        if self._session is None:
            raise LoggedOut(self.text("no_login"))
        return self._session

    def require_login(self, login_id: str) -> Session:
        """The login, if it is still this one: no other knows its handles and files.

        Raises `BadAnswer` when another has begun meanwhile, `LoggedOut` when there is none.
        """
        session = self.session
        if session.login_id != login_id:
            raise BadAnswer(self.text("another_login"))
        return session

    def text(self, message_key: str, /, **facts: object) -> str:
        """A sentence for people."""
        return webwx_text(self.language, message_key, **facts)

    # calls

    async def call(self, request: Request) -> JsonObject:
        """One call that is answered with JSON and Ret 0. Raises what its Ret asks for."""
        answer, ret = await self.call_unchecked(request)
        if ret != Ret.OK:
            raise self.error_for(ret, request.endpoint)
        return answer

    async def call_unchecked(self, request: Request) -> tuple[JsonObject, int]:
        """The answer, whatever its Ret says.

        What cannot be read is `Unreachable`, after a send `OutcomeUnknown`.
        """
        skey = self._skey
        reply = await self.transport.call(request)
        try:
            answer = json_reader.parse_json(reply.body)
            ret = responses.read_ret(answer)
        except UnreadableJson:
            raise self.unreadable_error(request.endpoint) from None
        self.check_keys_current(ret, request.endpoint, stale=reply.stale or skey != self._skey)
        if ret == Ret.OK:
            self.reset_throttle(request.endpoint)
        return answer, ret

    async def call_or_reject(self, request: Request, message_key: str) -> JsonObject:
        """The answer to a call that brings or changes something, once it is Ret 0.

        Any other Ret says that nothing was done (webwx 1.3.3): what is over in time or with the login
        raises as `refusal` does, the rest `RetError` with the sentence that `refusal` names.
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

    def check_keys_current(self, ret: int, endpoint: Endpoint, *, stale: bool) -> None:
        """Raise `BadAnswer` for a "session over" that may only mean that our keys were old.

        A sync renews skey and tickets (webwx 2.4.2.6); a call that was under way with those of before may
        be refused, and that is no logout.
        """
        if stale and (ret in SESSION_ENDED or ret == Ret.TICKET_ERROR):
            log.info("refused with keys that were renewed meanwhile", call=endpoint.name, ret=ret)
            raise BadAnswer(self.text("stale", ret=ret, call=endpoint.name))

    @property
    def _skey(self) -> str:
        return "" if self._session is None else self._session.skey

    def reset_throttle(self, endpoint: Endpoint) -> None:
        """WeChat took a call: the next "too often" begins with a short pause again."""
        del self._throttle_counts[endpoint.name]

    def unreadable_error(self, endpoint: Endpoint) -> BackendError:
        """The error for an answer that cannot be read: a message may have been delivered all the same."""
        message = self.text("unreadable", call=endpoint.name)
        return OutcomeUnknown(message) if endpoint.is_delivery else BadAnswer(message)

    def error_for(self, ret: int, endpoint: Endpoint) -> BackendError:
        """The error that a Ret asks for (webwx 1.3.1)."""
        if ret in SESSION_ENDED:
            return LoggedOut(self.text(str(ret)))
        if ret == Ret.TOO_OFTEN:
            pause = min(
                MAX_RATE_LIMIT_SECONDS,
                FIRST_RATE_LIMIT_SECONDS * 2.0 ** min(self._throttle_counts[endpoint.name], 10),
            )
            self._throttle_counts[endpoint.name] += 1
            return Throttled(self.text("too_often", ret=ret, call=endpoint.name), retry_after=pause)
        word = "later" if ret in RETRY_LATER_CODES else "failed"
        return BadAnswer(self.text(word, ret=ret, call=endpoint.name))

    # the login

    def reset_session(self) -> None:
        """Forget the login here: another one begins, with no cookies. What is saved stays."""
        self._session = None
        self.transport.cookies = Cookies.empty(any_host=self.endpoint is not None)
        self.set_base(FIRST_BASE)

    def set_base(self, base: str) -> None:
        """Speak to the cluster of this base host from now on."""
        self.base = base or FIRST_BASE
        self.site = self._build_site()

    def cookies(self) -> dict[str, str]:
        """The cookies that the base host may see."""
        return self.transport.cookies.for_host(host_of(self.site.hosts.base))

    def set_session(self, session: Session) -> None:
        """This is the login now."""
        self._session = session

    def update_session(self, update: Callable[[Session], Session]) -> None:
        """Take a change of the login over."""
        self._session = update(self.session)

    def set_skey(self, skey: str) -> None:
        """A new skey replaces the old one; an empty one means nothing (webwx 2.6.4, 2.11.3)."""
        if skey:
            self.update_session(lambda session: replace(session, skey=skey))

    def set_position(self, position: SyncCursor) -> None:
        """Remember how far we are, for the resume test at the next start."""
        self.update_session(lambda session: replace(session, position=position))

    async def load(self) -> Session | None:
        """The login that was saved, taken over with its cookies; None when none fits this endpoint."""
        saved = await self._credentials.load()
        found = session_from_saved(saved, self.endpoint) if saved is not None else None
        if found is None:
            return None
        session, cookies = found
        self.set_base(session.base)
        self.transport.cookies = cookies
        self.set_session(session)
        self._saved = self._persistent_state(session)
        return session

    async def save(self) -> None:
        """Keep the login if something changed without which it could not be resumed."""
        session = self._session
        if session is None or self._persistent_state(session) == self._saved:
            return
        state = self._persistent_state(session)
        await self._credentials.save(session_to_saved(session, self.transport.cookies, self.endpoint))
        self._saved = state

    async def save_if_possible(self) -> None:
        """Keep the login with its position. What fails is tried again by the next `save`."""
        self._saved = None
        try:
            await self.save()
        except StoreError as why:
            log.error("login not saved", reason=str(why))

    async def clear_login(self) -> None:
        """The login is over, here and on disk."""
        self.reset_session()
        self._saved = None
        try:
            await self._credentials.clear()
        except StoreError as why:
            log.error("saved login not removed", reason=str(why))

    def _persistent_state(self, session: Session) -> tuple[str, str, Cookies]:
        return session.login_id, session.skey, self.transport.cookies

    def _build_site(self) -> ClientProfile:
        hosts = hosts_of(self.base) if self.endpoint is None else hosts_at_endpoint(self.endpoint)
        lang = "zh_CN" if self.language == "zh" else "en_US"
        return ClientProfile(hosts=hosts, lang=lang, desktop=self._desktop)
