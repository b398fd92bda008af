"""One login's line to WeChat: makes calls with its keys, judges `Ret`, keeps what answers renew, saves it.

The conversations (signing in, the address book, the inbox) stand above it and never see a key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import structlog

from wx2mqtt.errors import GatewayError, LoggedOut, OutcomeUnknown, Rejected, StoreError, Throttled
from wx2mqtt.wechat import answers
from wx2mqtt.wechat.answers import Unreadable
from wx2mqtt.wechat.fields import Entry
from wx2mqtt.wechat.gateway import Vault
from wx2mqtt.wechat.http import BadAnswer
from wx2mqtt.wechat.timing import Timing
from wx2mqtt.wechat.webwx import responses
from wx2mqtt.wechat.webwx.codes import LATER, SESSION_ENDED, Ret
from wx2mqtt.wechat.webwx.cookies import Cookies
from wx2mqtt.wechat.webwx.endpoints import FIRST_BASE, Endpoint, everything_at, host_of, hosts_of
from wx2mqtt.wechat.webwx.position import Position
from wx2mqtt.wechat.webwx.requests import Desktop, Request, Site
from wx2mqtt.wechat.webwx.session import Session, from_saved, to_saved
from wx2mqtt.wechat.webwx.transport import Transport
from wx2mqtt.wechat.webwx.words import say
from wx2mqtt.words import Language

log = structlog.get_logger(__name__)

FIRST_PAUSE = 60.0  # seconds after a first "too often", doubled with each further one
LONGEST_PAUSE = 1800.0  # the server's own lock lasts some 30 minutes (webwx 6.1)


class Refused(Rejected):
    """WeChat refused what was asked, with this Ret."""

    def __init__(self, message: str, ret: int) -> None:
        super().__init__(message)
        self.ret = ret


class Channel:
    """`site` says where and how we speak, `base` which cluster the login was sent to.

    `phone_asked` is the saved login for which a push login was tried: one question is enough.
    """

    def __init__(
        self,
        transport: Transport,
        vault: Vault,
        *,
        endpoint: str | None,
        desktop: Desktop | None,
        language: Language,
        timing: Timing,
    ) -> None:
        self.transport = transport
        self.language = language
        self.timing = timing
        self.endpoint = endpoint
        self._vault = vault
        self._desktop = desktop
        self._session: Session | None = None
        self._saved: tuple[str, str, Cookies] | None = None
        self._throttled: Counter[str] = Counter()
        self.phone_asked = ""
        self.base = FIRST_BASE
        self.site = self._site()

    @property
    def session(self) -> Session:
        """The login. Raises `LoggedOut` when there is none."""
        if self._session is None:
            raise LoggedOut(self.words("no_login"))
        return self._session

    def of_login(self, login_id: str) -> Session:
        """The login, if it is still this one: no other knows its handles and files.

        Raises `BadAnswer` when another has begun meanwhile, `LoggedOut` when there is none.
        """
        session = self.session
        if session.login_id != login_id:
            raise BadAnswer(self.words("another_login"))
        return session

    def words(self, key: str, /, **facts: object) -> str:
        """A sentence for people."""
        return say(self.language, key, **facts)

    # calls

    async def ask(self, request: Request) -> Entry:
        """One call that is answered with JSON and Ret 0. Raises what its Ret asks for."""
        answer, ret = await self.ask_anyway(request)
        if ret != Ret.OK:
            raise self.refusal(ret, request.endpoint)
        return answer

    async def ask_anyway(self, request: Request) -> tuple[Entry, int]:
        """The answer, whatever its Ret says.

        What cannot be read is `Unreachable`, after a send `OutcomeUnknown`.
        """
        skey = self._skey
        reply = await self.transport.call(request)
        try:
            answer = answers.parsed(reply.body)
            ret = responses.ret_of(answer)
        except Unreadable:
            raise self.unreadable(request.endpoint) from None
        self.must_be_current(ret, request.endpoint, stale=reply.stale or skey != self._skey)
        if ret == Ret.OK:
            self.eased(request.endpoint)
        return answer, ret

    async def deliver(self, request: Request, refusal: str) -> Entry:
        """The answer to a call that brings or changes something, once it is Ret 0.

        Any other Ret says that nothing was done (webwx 1.3, 2.12): what is over in time or with the login
        raises as `refusal` does, the rest `Refused` with the sentence that `refusal` names.
        """
        answer, ret = await self.ask_anyway(request)
        if ret == Ret.OK:
            return answer
        if ret in SESSION_ENDED or ret in LATER or ret == Ret.TOO_OFTEN:
            raise self.refusal(ret, request.endpoint)
        if ret == Ret.NOT_A_FRIEND:
            raise Refused(self.words("not_a_friend"), ret)
        said = responses.message_of(answer)
        sentence = self.words(refusal, ret=ret)
        raise Refused(f"{sentence}: {said}" if said else sentence, ret)

    def must_be_current(self, ret: int, endpoint: Endpoint, *, stale: bool) -> None:
        """Raise `BadAnswer` for a "session over" that may only mean that our keys were old.

        A sync renews skey and tickets (webwx 2.4.2, 2.11); a call that was under way with those of before may
        be refused, and that is no logout.
        """
        if stale and (ret in SESSION_ENDED or ret == Ret.TICKET_ERROR):
            log.info("refused with keys that were renewed meanwhile", call=endpoint.name, ret=ret)
            raise BadAnswer(self.words("stale", ret=ret, call=endpoint.name))

    @property
    def _skey(self) -> str:
        return "" if self._session is None else self._session.skey

    def eased(self, endpoint: Endpoint) -> None:
        """WeChat took a call: the next "too often" begins with a short pause again."""
        del self._throttled[endpoint.name]

    def unreadable(self, endpoint: Endpoint) -> GatewayError:
        """The error for an answer that cannot be read: a message may have been delivered all the same."""
        message = self.words("unreadable", call=endpoint.name)
        return OutcomeUnknown(message) if endpoint.delivers else BadAnswer(message)

    def refusal(self, ret: int, endpoint: Endpoint) -> GatewayError:
        """The error that a Ret asks for (webwx 1.3)."""
        if ret in SESSION_ENDED:
            return LoggedOut(self.words(str(ret)))
        if ret == Ret.TOO_OFTEN:
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._throttled[endpoint.name], 10))
            self._throttled[endpoint.name] += 1
            return Throttled(self.words("too_often", ret=ret, call=endpoint.name), retry_after=pause)
        word = "later" if ret in LATER else "failed"
        return BadAnswer(self.words(word, ret=ret, call=endpoint.name))

    # the login

    def start_anew(self) -> None:
        """Forget the login here: another one begins, with no cookies. What is saved stays."""
        self._session = None
        self.transport.cookies = Cookies.none(anywhere=self.endpoint is not None)
        self.move_to(FIRST_BASE)

    def move_to(self, base: str) -> None:
        """Speak to the cluster of this base host from now on."""
        self.base = base or FIRST_BASE
        self.site = self._site()

    def cookies(self) -> dict[str, str]:
        """The cookies that the base host may see."""
        return self.transport.cookies.for_host(host_of(self.site.hosts.base))

    def adopt(self, session: Session) -> None:
        """This is the login now."""
        self._session = session

    def renew(self, change: Callable[[Session], Session]) -> None:
        """Take a change of the login over."""
        self._session = change(self.session)

    def take_skey(self, skey: str) -> None:
        """A new skey replaces the old one; an empty one means nothing (webwx 2.6, 2.11)."""
        if skey:
            self.renew(lambda session: replace(session, skey=skey))

    def take_position(self, position: Position) -> None:
        """Remember how far we are, for the resume test at the next start."""
        self.renew(lambda session: replace(session, position=position))

    async def load(self) -> Session | None:
        """The login that was saved, taken over with its cookies; None when none fits this endpoint."""
        saved = await self._vault.load()
        found = from_saved(saved, self.endpoint) if saved is not None else None
        if found is None:
            return None
        session, cookies = found
        self.move_to(session.base)
        self.transport.cookies = cookies
        self.adopt(session)
        self._saved = self._state(session)
        return session

    async def save(self) -> None:
        """Keep the login if something changed without which it could not be resumed."""
        session = self._session
        if session is None or self._state(session) == self._saved:
            return
        state = self._state(session)
        await self._vault.save(to_saved(session, self.transport.cookies, self.endpoint))
        self._saved = state

    async def save_if_possible(self) -> None:
        """Keep the login with its position. What fails is tried again by the next `save`."""
        self._saved = None
        try:
            await self.save()
        except StoreError as why:
            log.error("login not saved", reason=str(why))

    async def forget(self) -> None:
        """The login is over, here and on disk."""
        self.start_anew()
        self._saved = None
        try:
            await self._vault.clear()
        except StoreError as why:
            log.error("saved login not removed", reason=str(why))

    def _state(self, session: Session) -> tuple[str, str, Cookies]:
        return session.login_id, session.skey, self.transport.cookies

    def _site(self) -> Site:
        hosts = hosts_of(self.base) if self.endpoint is None else everything_at(self.endpoint)
        lang = "zh_CN" if self.language == "zh" else "en_US"
        return Site(hosts=hosts, lang=lang, desktop=self._desktop)
