"""The conversation with WeChat: log in, fetch the people, receive; and the state that says how it stands.

One task owns it. What ends a login, and what follows, is decided in `run` and nowhere else: never a login
loop, never a retry storm (P7). The store is written before WeChat is asked for more.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import aclosing

import structlog

from wx2mqtt.bridge.away import TROUBLE, is_news, pause_after
from wx2mqtt.bridge.demands import Demands, LoginAsked, LogoutAsked
from wx2mqtt.bridge.expected import Expected, WrongAccount
from wx2mqtt.bridge.inbound import Inbound
from wx2mqtt.bridge.insist import insist
from wx2mqtt.bridge.people.identity import Identity
from wx2mqtt.bridge.people_of_login import PeopleOfLogin
from wx2mqtt.bridge.phone import asked_by
from wx2mqtt.bridge.sending.sender import Sender
from wx2mqtt.bridge.state import Login
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import LoggedOut, LoginRefused, ProtocolViolation, StoreError
from wx2mqtt.model import Cursor, LoginState, Needs, Owner
from wx2mqtt.retry import Backoff
from wx2mqtt.store.journal import Journal
from wx2mqtt.wechat.gateway import (
    Answered,
    AskCode,
    AskPhone,
    Batch,
    CodeOver,
    Gateway,
    LoggedIn,
    Progress,
    Scanned,
    ShowQr,
    Unanswered,
)
from wx2mqtt.words import Language, say

log = structlog.get_logger(__name__)

CODES = 10  # QR codes shown before the bridge rests (a person who does not come does not come)
PATIENCE = 5.0  # seconds of failing answers before `interrupted` is said; one lost answer is no news
POLL_LIMIT = 120.0  # seconds within which the receiving loop must have moved
# The same for a login and for a page of the address book: a code lives 300 s, whoever has scanned may take as
# long to confirm, and an address book is allowed 180 s at a time (webwx 2.2, 2.3, 2.8).
STEP_LIMIT = 600.0
PEOPLE_AGAIN = 300.0  # seconds until the directory is asked for again
ROOM_CHECK = 5.0  # seconds between looks at a store that is full


class TooManyCodes(Exception):
    """Nobody scanned."""


Shown = Callable[[Login, str], None]
"""Told of each change: the login, and the text of the QR code that is to be scanned now (else empty)."""


class Session:
    """Keeps one account logged in and receives."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        journal: Journal,
        inbound: Inbound,
        identity: Identity,
        sender: Sender,
        expected: Expected,
        language: Language,
        shown: Shown,
        store_full: Callable[[], str],
        beat: Callable[[float | None], None],
        progress: Progress,
    ) -> None:
        self._gateway = gateway
        self._journal = journal
        self._inbound = inbound
        self._identity = identity
        self._sender = sender
        self._expected = expected
        self._shown = shown
        self._store_full = store_full
        self._beat = beat
        self._people = PeopleOfLogin(
            gateway=gateway,
            identity=identity,
            inbound=inbound,
            progress=progress,
            heard=self._heard,
            known=self._know_people,
            not_stored=self._not_stored,
        )
        self._demands = Demands()
        self._stored = asyncio.Event()  # not while what WeChat handed over is on its way to the disk
        self._stored.set()
        self._codes = 0
        self._url = ""
        self._phone_asked = False
        self._cursor = Cursor("")
        self._login_id = ""
        self.language = language
        self.login = Login(since=now_ms(), reason=say(language, "starting"))
        self.standing = False
        self.people_known = False
        self.last_answer: int | None = None

    def opened(self, cursor: Cursor | None, login_id: str, *, people_known: bool) -> None:
        """Where the journal says that we stand."""
        self._cursor, self._login_id = cursor or Cursor(""), login_id
        self.people_known = people_known

    def ask(self) -> None:
        """Somebody wants to log in: show a QR code now, unless a login stands (DESIGN 4.3)."""
        self._demands.ask()

    def give_code(self, code: str) -> bool:
        """The number that the phone shows; False where none is asked for."""
        if self.login.needs is not Needs.CODE:
            return False
        self._gateway.give_code(code)
        return True

    def ask_if_resting(self) -> None:
        """SIGHUP: try anew where nobody was expected to come any more."""
        self._demands.ask_if_resting()

    async def log_out(self) -> None:
        """End the login at WeChat; returns when the bridge rests (DESIGN 4.3)."""
        await self._demands.log_out()

    def logged_out(self, error: LoggedOut) -> None:
        """A send was told that the login is over."""
        if self.standing:
            self._demands.logged_out(error)

    def stop(self, why: str = "stopped") -> None:
        """The account stops, `why` as a word; the login goes on at the next start."""
        self._move(LoginState.STOPPED, say(self.language, why))

    async def run(self) -> None:
        """Log in and receive until cancelled."""
        resume, why, pause, backoff = True, "", 0.0, Backoff()
        while True:
            try:
                await self._until_demanded(self._converse(resume=resume, why=why, pause=pause))
            except TROUBLE as trouble:
                backoff = backoff.failed()
                self._interrupted(trouble)
                pause = pause_after(trouble, backoff, random.random())
                resume = resume and not self._phone_asked  # once is enough (DESIGN 4.3)
                continue
            except LoggedOut as gone:  # said first; the new code that follows says what to do
                why = str(gone)
                self._move(LoginState.LOGGED_OUT, why)
            except LoginAsked:
                why, self._codes = "", 0
            except LogoutAsked:
                why = await self._log_out()
            except LoginRefused as refused:
                why = await self._rest(LoginState.REFUSED, str(refused))
            except WrongAccount as wrong:
                await self._gateway.logout()
                why = await self._rest(LoginState.REFUSED, str(wrong), needs=Needs.RELOGIN)
            except TooManyCodes:
                reason = say(self.language, "too_many_codes", count=CODES)
                why = await self._rest(LoginState.LOGGED_OUT, reason)
            resume, pause, backoff = False, 0.0, backoff.reset()

    async def _until_demanded(self, conversation: Coroutine[None, None, None]) -> None:
        """Converse until it ends or is ended from outside; raises what ended it."""
        self._demands.forget()
        talking = asyncio.ensure_future(conversation)
        demanded = asyncio.ensure_future(self._demands.next())
        try:
            await asyncio.wait({talking, demanded}, return_when=asyncio.FIRST_COMPLETED)
            if demanded.done():
                while not self._stored.is_set():
                    await self._stored.wait()
                raise demanded.result()
            await talking
        finally:
            for task in (talking, demanded):
                task.cancel()
            # Not by awaiting each: our own end in just this moment must not be taken for theirs.
            await asyncio.wait({talking, demanded})
            for task in (talking, demanded):
                if not task.cancelled():
                    task.exception()  # known by now, or overtaken by a demand

    async def _rest(self, state: LoginState, reason: str, needs: Needs | None = None) -> str:
        """Do nothing until somebody asks to log in; returns what the next code is to say of the past."""
        self._move(state, reason, needs=needs)
        self._beat(None)
        await self._demands.rest()
        self._codes = 0
        return ""

    async def _log_out(self) -> str:
        await self._gateway.logout()
        return await self._rest(LoginState.LOGGED_OUT, say(self.language, "logged_out_by_request"))

    async def _converse(self, *, resume: bool, why: str, pause: float) -> None:
        await self._pause(pause)
        step = await self._log_in(resume=resume, why=why)
        self._codes = 0
        self._demands.entered = True
        refresh = None
        try:
            self._inbound.owner = step.owner
            if not self._knows_people_of(step):
                await self._begin(step)
                await self._people.begin(step)
                fetched = await self._people.fetch(step)
            else:  # those of before are good; what changed meanwhile is asked for beside receiving
                fetched = False
            self.standing = True
            self._online(step.owner)
            if not fetched:
                refresh = asyncio.create_task(self._fetch_people_later(step))
            await self._receive(step.owner)
        finally:
            self._demands.entered = self.standing = False
            self._sender.online(now=False)
            if refresh is not None:
                refresh.cancel()

    async def _log_in(self, *, resume: bool, why: str) -> LoggedIn:
        asked = self.login
        self._beat(STEP_LIMIT)
        async with aclosing(self._gateway.login(resume=resume)) as steps:
            async for step in steps:
                if not isinstance(step, Unanswered):
                    self._heard()
                match step:
                    case ShowQr(url=url, lifetime=lifetime):
                        self._show_code(url, lifetime, why)
                    case AskPhone() | Scanned() | AskCode():
                        self._phone_asked = self._phone_asked or isinstance(step, AskPhone)
                        word, needs = asked_by(step)
                        self._move(LoginState.WAITING_FOR_CONFIRM, say(self.language, word), needs=needs)
                    case CodeOver():
                        self._take_code_away()
                    case Unanswered(why=trouble):
                        asked = self._stand_by(trouble)
                    case Answered():
                        self._ask_again(asked)
                    case LoggedIn():
                        self.must_be_expected(step.owner)
                        return step
        raise ProtocolViolation

    def _take_code_away(self) -> None:
        """Never an old code (DESIGN 4); and after the last one none is asked of WeChat any more."""
        if self._codes >= CODES:
            raise TooManyCodes
        self._move(LoginState.STARTING, say(self.language, "code_over"))

    def _stand_by(self, trouble: str) -> Login:
        """WeChat does not answer while a person is asked; the code stays, it may still be good."""
        asked = self.login
        reason = say(self.language, "interrupted", why=trouble)
        self._move(LoginState.INTERRUPTED, reason, qr_expires=asked.qr_expires, url=self._url)
        return asked

    def _ask_again(self, asked: Login) -> None:
        self._move(asked.state, asked.reason, needs=asked.needs, qr_expires=asked.qr_expires, url=self._url)

    def _show_code(self, url: str, lifetime: float, why: str) -> None:
        if self._codes >= CODES:
            raise TooManyCodes
        self._codes += 1
        reason = say(self.language, "scan_again", why=why) if why else say(self.language, "scan")
        expires = now_ms() + int(lifetime * 1000)
        self._move(LoginState.WAITING_FOR_SCAN, reason, qr_expires=expires, url=url)

    def must_be_expected(self, owner: Owner) -> None:
        """Raise `WrongAccount` for anybody but whom the configuration expects."""
        self._expected.check(owner, self.language)

    def _knows_people_of(self, step: LoggedIn) -> bool:
        """Whether the handles in the store are those of this login."""
        return step.resumed and step.login_id == self._login_id and self._identity.knows(step.login_id)

    async def _begin(self, step: LoggedIn) -> None:
        """A cursor is good within its login only."""
        if step.login_id != self._login_id:
            await insist(lambda: self._journal.set_cursor(step.login_id, step.cursor), self._not_stored)
            self._login_id, self._cursor = step.login_id, step.cursor

    async def _fetch_people_later(self, step: LoggedIn) -> None:
        try:
            while not await self._people.fetch(step):  # noqa: ASYNC110 - nobody tells when WeChat would answer
                await asyncio.sleep(PEOPLE_AGAIN)
        except LoggedOut as gone:
            self.logged_out(gone)

    def _heard(self) -> None:
        """WeChat answered; beside receiving that is no sign of receiving."""
        self.last_answer = now_ms()
        if not self.standing:
            self._beat(STEP_LIMIT)

    def _not_stored(self, trouble: StoreError) -> None:
        """A login that was confirmed waits for the disk; while receiving, that says so itself."""
        if not self.standing:
            self._interrupted(trouble)
            self._beat(STEP_LIMIT)

    def _know_people(self) -> None:
        self.people_known = True
        self._sender.changed()

    def _online(self, owner: Owner) -> None:
        named = {"name": owner.nickname} if owner.nickname else {}
        word = "online" if named else "online_unnamed"
        self._move(LoginState.ONLINE, say(self.language, word, **named))
        self._sender.online(now=True)

    async def _receive(self, owner: Owner) -> None:
        failing_since: float | None = None
        backoff = Backoff()
        while True:
            self._beat(POLL_LIMIT)
            await self._wait_for_room()
            try:
                batch = await self._gateway.receive(self._cursor)
                self.last_answer = now_ms()
                await self._take(batch)
            except TROUBLE as trouble:
                failing_since = _clock() if failing_since is None else failing_since
                backoff = backoff.failed()
                pause = pause_after(trouble, backoff, random.random())
                if is_news(trouble) or max(pause, _clock() - failing_since) >= PATIENCE:
                    self._interrupted(trouble)
                await self._pause(pause)
            else:
                failing_since, backoff = None, backoff.reset()
                if self.login.state is not LoginState.ONLINE:
                    self._online(owner)

    async def _take(self, batch: Batch) -> None:
        """Nobody can be asked for it again once the login is over, so that waits until it is stored (P1)."""
        self._stored.clear()
        try:
            await self._inbound.take(batch, self._login_id)
            self._cursor = batch.cursor
        finally:
            self._stored.set()

    def _interrupted(self, trouble: Exception) -> None:
        word = "storage_trouble" if isinstance(trouble, StoreError) else "interrupted"
        why = str(trouble).removesuffix(".")
        self._move(LoginState.INTERRUPTED, say(self.language, word, why=why))

    async def _wait_for_room(self) -> None:
        """Receive nothing that could not be stored (DESIGN 4.3)."""
        while limit := self._store_full():
            self._move(LoginState.INTERRUPTED, say(self.language, "storage_full_state", limit=limit))
            await self._pause(ROOM_CHECK)

    async def _pause(self, seconds: float) -> None:
        self._beat(seconds + POLL_LIMIT)
        await asyncio.sleep(seconds)

    def _move(
        self,
        state: LoginState,
        reason: str,
        *,
        needs: Needs | None = None,
        qr_expires: int | None = None,
        url: str = "",
    ) -> None:
        before, known = self.login, (self.login, self._url)
        self.login = before.move(state, reason, now_ms(), needs=needs, qr_expires=qr_expires)
        self._url = url
        if (self.login, url) == known:
            return
        if state is not before.state:
            log.info("login", state=str(state), needs=str(self.login.needs), reason=reason)
        self._shown(self.login, url)


def _clock() -> float:
    return asyncio.get_running_loop().time()
