"""What it means that WeChat does not answer, or that the store does not take what it answered. Pure.

What ends a conversation with WeChat from outside: requests to log in or out, a send that learnt of it.

Gathers them for the one task that converses; what follows from each is decided there.

The conversation with WeChat: log in, fetch the people, receive; and the state that says how it stands.

One task owns it. What ends a login, and what follows, is decided in `run` and nowhere else: never a login
loop, never a retry storm. The store is written before WeChat is asked for more.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from contextlib import aclosing

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.backoff import Backoff
from wx2mqtt.bridge.account_settings import WrongAccount
from wx2mqtt.bridge.contact_sync import ContactSync
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.login_state import LoginStatus, required_of_person
from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.errors import LoggedOut, LoginRefused, ProtocolViolation, StoreError, Throttled, Unreachable
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Cursor, LoginState, Needs, Owner
from wx2mqtt.wechat.backend import (
    Batch,
    CodeRequired,
    ConfirmOnPhone,
    LoggedIn,
    PollFailing,
    PollRecovered,
    QrExpired,
    Scanned,
    ShowQr,
)

RETRIED_ERRORS = (Unreachable, Throttled, ProtocolViolation, StoreError)
"""What is tried again by itself."""


def is_reportable(error: Exception) -> bool:
    """Whether it is more than an answer that got lost: a poll was cut at its limit, or the store fails."""
    return isinstance(error, StoreError) or (isinstance(error, Unreachable) and error.poll_timed_out)


def retry_delay(error: Exception, backoff: Backoff, chance: float) -> float:
    """Seconds until it is tried again; WeChat may have said that it must be longer."""
    return max(backoff.wait(chance), getattr(error, "retry_after", 0.0))


class LoginRequested(Exception):
    """Somebody wants a QR code."""


class LogoutRequested(Exception):
    """Somebody wants the login to end."""


SessionInterrupt = LoginRequested | LogoutRequested | LoggedOut


class LoginRequests:
    """Those of one account. `entered` is true from the moment that WeChat lets us in until the login ends."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[SessionInterrupt] = asyncio.Queue()
        self._idle = asyncio.Event()
        self._logout_pending = False  # a logout was asked for and is not yet carried out
        self.logged_in = False

    def request_login(self) -> None:
        """Somebody wants to log in; means nothing where a login stands."""
        if self._logout_pending or not self.logged_in:
            self._queue.put_nowait(LoginRequested())

    def request_login_if_idle(self) -> None:
        """Somebody wants to log in if nobody was expected to come any more."""
        if self._idle.is_set():
            self.request_login()

    async def request_logout(self) -> None:
        """Somebody wants the login to end; returns when that is done."""
        self._logout_pending = True
        self._idle.clear()
        self._queue.put_nowait(LogoutRequested())
        await self._idle.wait()

    def on_logged_out(self, error: LoggedOut) -> None:
        """A send was told that the login is over."""
        self._queue.put_nowait(error)

    async def next_interrupt(self) -> SessionInterrupt:
        """The next one that means something: whoever asked to log in may be logged in by now."""
        while True:
            demand = await self._queue.get()
            if not (isinstance(demand, LoginRequested) and self.logged_in):
                return demand

    def discard_outdated(self) -> None:
        """What was asked of an earlier conversation is answered by the next one; but a logout is not."""
        waiting = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        for demand in waiting:
            if isinstance(demand, LogoutRequested):
                self._queue.put_nowait(demand)

    async def wait_for_login_request(self) -> None:
        """Wait until somebody asks to log in; whoever asks to log out meanwhile has that already."""
        self._mark_idle()
        while not isinstance(await self._queue.get(), LoginRequested):
            self._mark_idle()
        self._idle.clear()

    def _mark_idle(self) -> None:
        self._logout_pending = False
        self._idle.set()


log = structlog.get_logger(__name__)


MAX_QR_CODES = 10  # QR codes shown before the bridge rests (a person who does not come does not come)


INTERRUPTED_AFTER_SECONDS = (
    5.0  # seconds of failing answers before `interrupted` is said; one lost answer is no news
)


POLL_WATCHDOG_SECONDS = 120.0  # seconds within which the receiving loop must have moved


# The same for a login and for a page of the address book: a code lives 300 s, whoever has scanned may take as
# long to confirm, and an address book is allowed 180 s at a time (webwx 2.2.3, 2.3.5, 2.8.4).
STEP_WATCHDOG_SECONDS = 600.0


CONTACT_SYNC_RETRY_SECONDS = 300.0  # seconds until the directory is asked for again


STORE_FULL_POLL_SECONDS = 5.0  # seconds between looks at a store that is full


class TooManyQrCodes(Exception):
    """Nobody scanned."""


class LoginSession:
    """Keeps one account logged in and receives."""

    def __init__(self, ctx: AccountContext, inbound: InboundMessages) -> None:
        self._ctx = ctx
        self._backend = ctx.backend
        self._journal = ctx.journal
        self._registry = ctx.registry
        self._inbound = inbound
        self._contact_sync = ContactSync(ctx, inbound)
        self._contact_sync.answered.connect(self._on_answer)
        self._contact_sync.completed.connect(self._on_people_known)
        self._contact_sync.store_failed.connect(self._on_store_failure)
        self._login_requests = LoginRequests()
        self._batch_stored = asyncio.Event()  # not while what WeChat handed over is on its way to the disk
        self._batch_stored.set()
        self._qr_codes_shown = 0
        self._qr_url = ""
        self._phone_confirmation_requested = False
        self._cursor = Cursor("")
        self._login_id = ""
        self.login = LoginStatus(since=now_ms(), reason=self._text("starting"))
        self.logged_in = False
        self.people_known = False
        self.last_answer: int | None = None

    def _text(self, message_key: str, **facts: object) -> str:
        return bridge_text(self._ctx.language, message_key, **facts)

    def restore(self, cursor: Cursor | None, login_id: str, *, people_known: bool) -> None:
        """Where the journal says that we stand."""
        self._cursor, self._login_id = cursor or Cursor(""), login_id
        self.people_known = people_known

    def request_login(self) -> None:
        """Somebody wants to log in: show a QR code now, unless a login stands."""
        self._login_requests.request_login()

    def enter_verification_code(self, code: str) -> bool:
        """The number that the phone shows; False where none is asked for."""
        if self.login.needs is not Needs.CODE:
            return False
        self._backend.enter_verification_code(code)
        return True

    def request_login_if_idle(self) -> None:
        """SIGHUP: try anew where nobody was expected to come any more."""
        self._login_requests.request_login_if_idle()

    async def log_out(self) -> None:
        """End the login at WeChat; returns when the bridge rests."""
        await self._login_requests.request_logout()

    def handle_logged_out(self, error: LoggedOut) -> None:
        """A send was told that the login is over."""
        if self.logged_in:
            self._login_requests.on_logged_out(error)

    def stop(self, reason_key: str = "stopped") -> None:
        """The account stops, `why` as a word; the login goes on at the next start."""
        self._set_state(LoginState.STOPPED, self._text(reason_key))

    async def run(self) -> None:
        """Log in and receive until cancelled."""
        resume, why, pause, backoff = True, "", 0.0, Backoff()
        while True:
            try:
                await self._run_until_interrupted(
                    self._run_login(resume=resume, previous_reason=why, pause=pause)
                )
            except RETRIED_ERRORS as trouble:
                backoff = backoff.after_failure()
                self._set_interrupted(trouble)
                pause = retry_delay(trouble, backoff, random.random())
                resume = resume and not self._phone_confirmation_requested  # the phone is asked only once
                continue
            except LoggedOut as gone:  # said first; the new code that follows says what to do
                why = str(gone)
                self._set_state(LoginState.LOGGED_OUT, why)
            except LoginRequested:
                why, self._qr_codes_shown = "", 0
            except LogoutRequested:
                why = await self._log_out()
            except LoginRefused as refused:
                why = await self._idle(LoginState.REFUSED, str(refused))
            except WrongAccount as wrong:
                await self._backend.logout()
                why = await self._idle(LoginState.REFUSED, str(wrong), needs=Needs.RELOGIN)
            except TooManyQrCodes:
                reason = self._text("too_many_codes", count=MAX_QR_CODES)
                why = await self._idle(LoginState.LOGGED_OUT, reason)
            resume, pause, backoff = False, 0.0, backoff.reset()

    async def _run_until_interrupted(self, work: Coroutine[None, None, None]) -> None:
        """Converse until it ends or is ended from outside; raises what ended it."""
        self._login_requests.discard_outdated()
        talking = asyncio.ensure_future(work)
        demanded = asyncio.ensure_future(self._login_requests.next_interrupt())
        try:
            await asyncio.wait({talking, demanded}, return_when=asyncio.FIRST_COMPLETED)
            if demanded.done():
                while not self._batch_stored.is_set():
                    await self._batch_stored.wait()
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

    async def _idle(self, state: LoginState, reason: str, needs: Needs | None = None) -> str:
        """Do nothing until somebody asks to log in; returns what the next code is to say of the past."""
        self._set_state(state, reason, needs=needs)
        self._ctx.idle("receive")
        await self._login_requests.wait_for_login_request()
        self._qr_codes_shown = 0
        return ""

    async def _log_out(self) -> str:
        await self._backend.logout()
        return await self._idle(LoginState.LOGGED_OUT, self._text("logged_out_by_request"))

    async def _run_login(self, *, resume: bool, previous_reason: str, pause: float) -> None:
        await self._pause(pause)
        step = await self._log_in(resume=resume, previous_reason=previous_reason)
        self._qr_codes_shown = 0
        self._login_requests.logged_in = True
        refresh = None
        try:
            self._inbound.set_owner(step.owner)
            if not self._has_people_of(step):
                await self._start_login(step)
                await self._contact_sync.start_login(step)
                fetched = await self._contact_sync.fetch(step)
            else:  # those of before are good; what changed meanwhile is asked for beside receiving
                fetched = False
            self.logged_in = True
            self._set_online(step.owner)
            if not fetched:
                refresh = asyncio.create_task(self._fetch_people_later(step))
            await self._receive(step.owner)
        finally:
            self._login_requests.logged_in = self.logged_in = False
            self._ctx.signals.online_changed.emit(False)
            if refresh is not None:
                refresh.cancel()

    async def _log_in(self, *, resume: bool, previous_reason: str) -> LoggedIn:
        asked = self.login
        self._ctx.heartbeat("receive", STEP_WATCHDOG_SECONDS)
        async with aclosing(self._backend.login(resume=resume)) as steps:
            async for step in steps:
                if not isinstance(step, PollFailing):
                    self._on_answer()
                match step:
                    case ShowQr(url=url, lifetime=lifetime):
                        self._show_qr(url, lifetime, previous_reason)
                    case ConfirmOnPhone() | Scanned() | CodeRequired():
                        self._phone_confirmation_requested = self._phone_confirmation_requested or isinstance(
                            step, ConfirmOnPhone
                        )
                        word, needs = required_of_person(step)
                        self._set_state(LoginState.WAITING_FOR_CONFIRM, self._text(word), needs=needs)
                    case QrExpired():
                        self._withdraw_qr()
                    case PollFailing(reason=trouble):
                        asked = self._on_poll_failing(trouble)
                    case PollRecovered():
                        self._on_poll_recovered(asked)
                    case LoggedIn():
                        self.require_expected(step.owner)
                        return step
        raise ProtocolViolation

    def _withdraw_qr(self) -> None:
        """Never an old code; and after the last one none is asked of WeChat any more."""
        if self._qr_codes_shown >= MAX_QR_CODES:
            raise TooManyQrCodes
        self._set_state(LoginState.STARTING, self._text("code_over"))

    def _on_poll_failing(self, cause: str) -> LoginStatus:
        """WeChat does not answer while a person is asked; the code stays, it may still be good."""
        asked = self.login
        reason = self._text("interrupted", why=cause)
        self._set_state(LoginState.INTERRUPTED, reason, qr_expires=asked.qr_expires, url=self._qr_url)
        return asked

    def _on_poll_recovered(self, previous: LoginStatus) -> None:
        self._set_state(
            previous.state,
            previous.reason,
            needs=previous.needs,
            qr_expires=previous.qr_expires,
            url=self._qr_url,
        )

    def _show_qr(self, url: str, lifetime: float, previous_reason: str) -> None:
        if self._qr_codes_shown >= MAX_QR_CODES:
            raise TooManyQrCodes
        self._qr_codes_shown += 1
        reason = self._text("scan_again", why=previous_reason) if previous_reason else self._text("scan")
        expires = now_ms() + int(lifetime * 1000)
        self._set_state(LoginState.WAITING_FOR_SCAN, reason, qr_expires=expires, url=url)

    def require_expected(self, owner: Owner) -> None:
        """Raise `WrongAccount` for anybody but whom the configuration expects."""
        self._ctx.settings.expected_account.check(owner, self._ctx.language)

    def _has_people_of(self, step: LoggedIn) -> bool:
        """Whether the handles in the store are those of this login."""
        return (
            step.resumed
            and step.login_id == self._login_id
            and self._registry.is_current_login(step.login_id)
        )

    async def _start_login(self, step: LoggedIn) -> None:
        """A cursor is good within its login only."""
        if step.login_id != self._login_id:
            await retry_until_stored(
                lambda: self._journal.set_cursor(step.login_id, step.cursor), self._on_store_failure
            )
            self._login_id, self._cursor = step.login_id, step.cursor

    async def _fetch_people_later(self, step: LoggedIn) -> None:
        try:
            while not await self._contact_sync.fetch(step):  # noqa: ASYNC110 - nobody tells when WeChat would answer
                await asyncio.sleep(CONTACT_SYNC_RETRY_SECONDS)
        except LoggedOut as gone:
            self.handle_logged_out(gone)

    def _on_answer(self) -> None:
        """WeChat answered; beside receiving that is no sign of receiving."""
        self.last_answer = now_ms()
        if not self.logged_in:
            self._ctx.heartbeat("receive", STEP_WATCHDOG_SECONDS)

    def _on_store_failure(self, error: StoreError) -> None:
        """A login that was confirmed waits for the disk; while receiving, that says so itself."""
        if not self.logged_in:
            self._set_interrupted(error)
            self._ctx.heartbeat("receive", STEP_WATCHDOG_SECONDS)

    def _on_people_known(self) -> None:
        self.people_known = True
        self._ctx.signals.contacts_synced.emit()

    def _set_online(self, owner: Owner) -> None:
        named = {"name": owner.nickname} if owner.nickname else {}
        word = "online" if named else "online_unnamed"
        self._set_state(LoginState.ONLINE, self._text(word, **named))
        self._ctx.signals.online_changed.emit(True)

    async def _receive(self, owner: Owner) -> None:
        failing_since: float | None = None
        backoff = Backoff()
        while True:
            self._ctx.heartbeat("receive", POLL_WATCHDOG_SECONDS)
            await self._wait_for_storage()
            try:
                batch = await self._backend.receive(self._cursor)
                self.last_answer = now_ms()
                await self._store(batch)
            except RETRIED_ERRORS as trouble:
                failing_since = loop_time() if failing_since is None else failing_since
                backoff = backoff.after_failure()
                pause = retry_delay(trouble, backoff, random.random())
                if (
                    is_reportable(trouble)
                    or max(pause, loop_time() - failing_since) >= INTERRUPTED_AFTER_SECONDS
                ):
                    self._set_interrupted(trouble)
                await self._pause(pause)
            else:
                failing_since, backoff = None, backoff.reset()
                if self.login.state is not LoginState.ONLINE:
                    self._set_online(owner)

    async def _store(self, batch: Batch) -> None:
        """Nobody can be asked for it again once the login is over, so that waits until it is stored."""
        self._batch_stored.clear()
        try:
            await self._inbound.store(batch, self._login_id)
            self._cursor = batch.cursor
        finally:
            self._batch_stored.set()

    def _set_interrupted(self, error: Exception) -> None:
        word = "storage_trouble" if isinstance(error, StoreError) else "interrupted"
        why = str(error).removesuffix(".")
        self._set_state(LoginState.INTERRUPTED, self._text(word, why=why))

    async def _wait_for_storage(self) -> None:
        """Receive nothing that could not be stored."""
        while limit := self._ctx.shared.exceeded_limit():
            self._set_state(LoginState.INTERRUPTED, self._text("storage_full_state", limit=limit))
            await self._pause(STORE_FULL_POLL_SECONDS)

    async def _pause(self, seconds: float) -> None:
        self._ctx.heartbeat("receive", seconds + POLL_WATCHDOG_SECONDS)
        await asyncio.sleep(seconds)

    def _set_state(
        self,
        state: LoginState,
        reason: str,
        *,
        needs: Needs | None = None,
        qr_expires: int | None = None,
        url: str = "",
    ) -> None:
        before, known = self.login, (self.login, self._qr_url)
        self.login = before.transition(state, reason, now_ms(), needs=needs, qr_expires=qr_expires)
        self._qr_url = url
        if (self.login, url) == known:
            return
        if state is not before.state:
            log.info("login", state=str(state), needs=str(self.login.needs), reason=reason)
        self._ctx.signals.login_changed.emit(self.login, url)
