"""The session with WeChat: logs in, fetches the contacts, receives, and keeps the state in `login/state`.

One task (`LoginSession.run`) repeats these steps, so that no error can lead to a storm of logins:

1. `_log_in` resumes the saved login, or shows QR codes until somebody scans one.
2. The contacts of a new login are fetched; those of a resumed one are stored already, and updated meanwhile.
3. `_receive` asks WeChat for the next batch when the previous one is stored.

It ends with an exception, and what follows is decided in `run` and `_handle_end` only:

| exception | what follows |
|---|---|
| one of `RETRIED_ERRORS` | state `interrupted`; the same again after a pause, which grows |
| `LoggedOut`, `LoginRequested` | a QR code; for a new owner after a logout at WeChat |
| `LogoutRequested` | a logout at WeChat, then nothing until a login is requested |
| `LoginRefused`, `WrongAccount`, `TooManyQrCodes` | nothing until a login is requested |
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

import structlog

from wx2mqtt.aio import cancel_and_wait, retry_until_stored
from wx2mqtt.backoff import Backoff
from wx2mqtt.bridge.account_settings import WrongAccount
from wx2mqtt.bridge.contact_sync import ContactSync
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.login_requests import LoginRequested, LoginRequests, LogoutRequested
from wx2mqtt.bridge.login_state import LoginStatus, PhoneStep, required_of_person
from wx2mqtt.bridge.owner import AccountOwner
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

log = structlog.get_logger(__name__)

# QR codes shown in a row before the session is idle until somebody requests a login.
MAX_QR_CODES = 10

# Errors must last this long before `login/state` says `interrupted`; a single lost answer is not reported.
INTERRUPTED_AFTER_SECONDS = 5.0

# The receive loop must report progress within this time.
POLL_WATCHDOG_SECONDS = 120.0

# The same for each step of a login and each page of the contacts: a QR code is valid for 300 s, the
# confirmation on the phone may take as long, and a page may take 180 s (webwx 2.2.3, 2.3.5, 2.8.4).
STEP_WATCHDOG_SECONDS = 600.0

# The pause before the next look while the store is full.
STORE_FULL_POLL_SECONDS = 5.0

# Temporary errors: the session tries again after a delay.
RETRIED_ERRORS = (Unreachable, Throttled, ProtocolViolation, StoreError)


def is_reportable(error: Exception) -> bool:
    """Returns whether an error is reported at once: of the store, or a long poll that ran into its limit."""
    return isinstance(error, StoreError) or (isinstance(error, Unreachable) and error.poll_timed_out)


def retry_delay(error: Exception, backoff: Backoff, chance: float) -> float:
    """Returns the seconds until the next attempt: the back-off, or what WeChat demands if that is longer.

    `chance` is a random number from 0 to 1.
    """
    return max(backoff.wait(chance), getattr(error, "retry_after", 0.0))


class TooManyQrCodes(Exception):
    """`MAX_QR_CODES` codes have expired, and nobody has scanned one."""


# The exceptions that end a login or an attempt to log in; temporary errors do not.
LOGIN_ENDS = (LoggedOut, LoginRequested, LogoutRequested, LoginRefused, WrongAccount, TooManyQrCodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginAttempt:
    """How the next login is made: after `pause_seconds`, with the saved login (`resume`) or with a QR code.

    The QR code repeats `previous_reason`: why the last login ended, empty if nobody needs to know.
    """

    resume: bool = False
    previous_reason: str = ""
    pause_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivePosition:
    """What is received next: what comes after the cursor. A cursor is valid within its own login only."""

    login_id: str
    cursor: Cursor


class LoginSession:
    """Keeps one account logged in and receives its messages.

    `login` is the state in `login/state`. `logged_in` is true while messages are received and can be sent.
    `contacts_known` is true when the contacts of this login are stored. `last_answer` is when WeChat last
    answered, in milliseconds; None before the first answer.
    """

    def __init__(self, ctx: AccountContext, inbound: InboundMessages, owner: AccountOwner) -> None:
        self._ctx = ctx
        self._owner = owner
        self._backend = ctx.backend
        self._inbound = inbound
        self._contact_sync = ContactSync(ctx, inbound)
        self._contact_sync.answered.connect(self._on_answer)
        self._contact_sync.completed.connect(self._on_contacts_known)
        self._contact_sync.store_failed.connect(self._on_store_failure)
        self._login_requests = LoginRequests()
        self._store_lock = asyncio.Lock()  # held while a received batch is being stored
        self._position = ReceivePosition(login_id="", cursor=Cursor(""))
        self._qr_codes_shown = 0  # in a row, without a login
        self._phone_confirmation_requested = False
        self.login = LoginStatus(since=now_ms(), reason=self._text("starting"))
        self.logged_in = False
        self.contacts_known = False
        self.last_answer: int | None = None

    def restore(self, cursor: Cursor | None, login_id: str, *, contacts_known: bool) -> None:
        """Continues from what the previous run stored."""
        self._position = ReceivePosition(login_id=login_id, cursor=cursor or Cursor(""))
        self.contacts_known = contacts_known

    def request_login(self, *, new_owner: bool = False) -> None:
        """Shows a new QR code now; without effect while logged in.

        With `new_owner` it ends a login, and lets another account become the owner.
        """
        self._login_requests.request_login(new_owner=new_owner)

    def request_login_if_idle(self) -> None:
        """Shows a new QR code if the session is idle: after a logout, a refusal or too many codes."""
        self._login_requests.request_login_if_idle()

    def enter_verification_code(self, code: str) -> bool:
        """Passes on the number that the phone shows; returns False when WeChat has not asked for one."""
        if self.login.needs is not Needs.CODE:
            return False
        self._backend.enter_verification_code(code)
        return True

    async def log_out(self) -> None:
        """Ends the login at WeChat; returns when that is done and the session is idle."""
        await self._login_requests.request_logout()

    def handle_logged_out(self, error: LoggedOut) -> None:
        """Ends the login: WeChat answered a send, a download or an action with `LoggedOut`."""
        if self.logged_in:
            self._login_requests.on_logged_out(error)

    def stop(self, reason_key: str = "stopped") -> None:
        """Sets the state `stopped`; `reason_key` names the text. The next start resumes the login."""
        self._set_state(LoginState.STOPPED, self._text(reason_key))

    async def run(self) -> None:
        """Logs in and receives until cancelled."""
        attempt = LoginAttempt(resume=True)
        backoff = Backoff()
        while True:
            try:
                await self._run_until_interrupted(self._run_login(attempt))
            except RETRIED_ERRORS as error:
                backoff = backoff.after_failure()
                self._set_interrupted(error)
                pause_seconds = retry_delay(error, backoff, random.random())
                resume = attempt.resume and not self._phone_confirmation_requested  # ask the phone only once
                attempt = replace(attempt, resume=resume, pause_seconds=pause_seconds)
            except LOGIN_ENDS as end:
                backoff = backoff.reset()
                attempt = LoginAttempt(previous_reason=await self._handle_end(end))

    async def _handle_end(self, end: Exception) -> str:
        """Publishes why the login ended, and is idle unless the next attempt may follow at once.

        Returns the reason that the next QR code repeats, or an empty string.
        """
        match end:
            case LoggedOut():
                self._set_state(LoginState.LOGGED_OUT, str(end))
                return str(end)
            case LoginRequested():
                self._qr_codes_shown = 0
                if end.new_owner:
                    await self._end_login_of_owner()
            case LogoutRequested():
                await self._backend.logout()
                await self._idle(LoginState.LOGGED_OUT, self._text("logged_out_by_request"))
            case LoginRefused():
                await self._idle(LoginState.REFUSED, str(end))
            case WrongAccount():
                await self._backend.logout()
                self._ctx.signals.other_account_refused.emit(end.nickname)
                await self._idle(LoginState.REFUSED, str(end), needs=Needs.RELOGIN)
            case TooManyQrCodes():
                reason = self._text("too_many_codes", count=MAX_QR_CODES)
                await self._idle(LoginState.LOGGED_OUT, reason)
        return ""

    async def _end_login_of_owner(self) -> None:
        """Ends the login before that of a new owner, so that a restart does not resume it."""
        if self.login.state in (LoginState.ONLINE, LoginState.INTERRUPTED):
            self._set_state(LoginState.LOGGED_OUT, self._text("logged_out_by_request"))
        await self._backend.logout()
        self._set_state(LoginState.STARTING, self._text("starting"))

    async def _idle(self, state: LoginState, reason: str, needs: Needs | None = None) -> None:
        """Does nothing until a login is requested."""
        self._set_state(state, reason, needs=needs)
        self._ctx.idle("receive")
        await self._login_requests.wait_for_login_request()
        self._qr_codes_shown = 0

    async def _run_until_interrupted(self, login: Coroutine[None, None, None]) -> None:
        """Runs a login until it fails or an interrupt arrives, and raises the error or the interrupt."""
        self._login_requests.discard_outdated()
        login_task = asyncio.create_task(login)
        interrupt_task = asyncio.create_task(self._login_requests.next_interrupt())
        try:
            await asyncio.wait([login_task, interrupt_task], return_when=asyncio.FIRST_COMPLETED)
            if not interrupt_task.done():
                await login_task
                return
            async with self._store_lock:  # a batch that is being stored would be lost with its login
                pass
            raise interrupt_task.result()
        finally:
            await cancel_and_wait([login_task, interrupt_task])

    # One login

    async def _run_login(self, attempt: LoginAttempt) -> None:
        await self._pause(attempt.pause_seconds)
        step = await self._log_in(attempt)
        self._qr_codes_shown = 0
        self._login_requests.logged_in = True
        refresh: asyncio.Task[None] | None = None
        try:
            self._inbound.set_owner(step.owner)
            refresh = await self._load_contacts(step)
            self.logged_in = True
            self._set_online(step.owner)
            await self._receive(step.owner)
        finally:
            self._login_requests.logged_in = False
            self.logged_in = False
            self._ctx.signals.online_changed.emit(False)
            if refresh is not None:
                refresh.cancel()

    async def _log_in(self, attempt: LoginAttempt) -> LoggedIn:
        before_outage = self.login
        self._ctx.heartbeat("receive", STEP_WATCHDOG_SECONDS)
        await self._owner.adopt_saved_login()
        usable = partial(self._owner.may_resume, new_owner=self._login_requests.new_owner)
        async with aclosing(self._backend.login(resume=attempt.resume, usable=usable)) as steps:
            async for step in steps:
                if not isinstance(step, PollFailing):
                    self._on_answer()
                match step:
                    case ShowQr(url=url, lifetime=lifetime):
                        self._show_qr(url, lifetime, attempt.previous_reason)
                    case ConfirmOnPhone() | Scanned() | CodeRequired():
                        self._wait_for_person(step)
                    case QrExpired():
                        self._withdraw_qr()
                    case PollFailing(reason=cause):
                        before_outage = self.login
                        self._on_poll_failing(cause)
                    case PollRecovered():
                        self._on_poll_recovered(before_outage)
                    case LoggedIn():
                        await self._owner.accept(
                            step.owner,
                            new_owner=self._login_requests.new_owner,
                            on_store_failure=self._on_store_failure,
                        )
                        self._login_requests.new_owner = False
                        return step
        raise ProtocolViolation

    def _wait_for_person(self, step: PhoneStep) -> None:
        if isinstance(step, ConfirmOnPhone):
            self._phone_confirmation_requested = True
        message_key, needs = required_of_person(step)
        self._set_state(LoginState.WAITING_FOR_CONFIRM, self._text(message_key), needs=needs)

    def _withdraw_qr(self) -> None:
        """Clears an expired code at once. Raises `TooManyQrCodes` instead of requesting one code too many."""
        if self._qr_codes_shown >= MAX_QR_CODES:
            raise TooManyQrCodes
        self._set_state(LoginState.STARTING, self._text("code_over"))

    def _on_poll_failing(self, cause: str) -> None:
        """Sets the state `interrupted` and keeps the QR code, which may still be valid."""
        reason = self._text("interrupted", why=cause)
        qr_expires, qr_url = self.login.qr_expires, self.login.qr_url
        self._set_state(LoginState.INTERRUPTED, reason, qr_expires=qr_expires, qr_url=qr_url)

    def _on_poll_recovered(self, previous: LoginStatus) -> None:
        self._set_state(
            previous.state,
            previous.reason,
            needs=previous.needs,
            qr_expires=previous.qr_expires,
            qr_url=self.login.qr_url,
        )

    def _show_qr(self, url: str, lifetime: float, previous_reason: str) -> None:
        if self._qr_codes_shown >= MAX_QR_CODES:
            raise TooManyQrCodes
        self._qr_codes_shown += 1
        reason = self._text("scan_again", why=previous_reason) if previous_reason else self._text("scan")
        expires = now_ms() + int(lifetime * 1000)
        self._set_state(LoginState.WAITING_FOR_SCAN, reason, qr_expires=expires, qr_url=url)

    async def _load_contacts(self, step: LoggedIn) -> asyncio.Task[None] | None:
        """Fetches the contacts of a new login before its messages are received.

        Where they are stored already, or WeChat refuses them, the returned task fetches them meanwhile.
        """
        if not self._has_contacts_of(step):
            await self._store_login(step)
            if await self._contact_sync.fetch(step):
                return None
        return asyncio.create_task(self._fetch_contacts_later(step))

    def _has_contacts_of(self, step: LoggedIn) -> bool:
        """Returns whether the stored contacts have the handles of this login."""
        return (
            step.resumed
            and step.login_id == self._position.login_id
            and self._ctx.registry.is_current_login(step.login_id)
        )

    async def _store_login(self, step: LoggedIn) -> None:
        """Stores where a new login begins, and that the handles of earlier logins are invalid."""
        if step.login_id != self._position.login_id:
            await retry_until_stored(
                lambda: self._ctx.journal.set_cursor(step.login_id, step.cursor), self._on_store_failure
            )
            self._position = ReceivePosition(login_id=step.login_id, cursor=step.cursor)
        await self._contact_sync.start_login(step)

    async def _fetch_contacts_later(self, step: LoggedIn) -> None:
        try:
            await self._contact_sync.fetch_until_stored(step)
        except LoggedOut as error:
            self.handle_logged_out(error)

    def _on_answer(self) -> None:
        """Records an answer of WeChat.

        While messages are received it is no heartbeat: it may be an answer to the contact sync.
        """
        self.last_answer = now_ms()
        if not self.logged_in:
            self._ctx.heartbeat("receive", STEP_WATCHDOG_SECONDS)

    def on_message_processed(self) -> None:
        """Reports that a batch moves on, however long its messages take."""
        if self.logged_in:
            self._ctx.heartbeat("receive", POLL_WATCHDOG_SECONDS)

    def _on_store_failure(self, error: StoreError) -> None:
        """Sets the state `interrupted` while a new login waits for the store; `_receive` sets it itself."""
        if not self.logged_in:
            self._set_interrupted(error)
            self._ctx.heartbeat("receive", STEP_WATCHDOG_SECONDS)

    def _on_contacts_known(self) -> None:
        self.contacts_known = True
        self._ctx.signals.contacts_synced.emit()

    def _set_online(self, owner: Owner) -> None:
        name = owner.nickname
        reason = self._text("online", name=name) if name else self._text("online_unnamed")
        self._set_state(LoginState.ONLINE, reason)
        self._ctx.signals.online_changed.emit(True)

    # Receiving

    async def _receive(self, owner: Owner) -> None:
        failing_since: float | None = None
        backoff = Backoff()
        while True:
            self._ctx.heartbeat("receive", POLL_WATCHDOG_SECONDS)
            await self._wait_for_storage()
            try:
                batch = await self._backend.receive(self._position.cursor)
                self.last_answer = now_ms()
                await self._store(batch)
            except RETRIED_ERRORS as error:
                failing_since = loop_time() if failing_since is None else failing_since
                backoff = backoff.after_failure()
                pause = retry_delay(error, backoff, random.random())
                outage_seconds = max(pause, loop_time() - failing_since)
                if is_reportable(error) or outage_seconds >= INTERRUPTED_AFTER_SECONDS:
                    self._set_interrupted(error)
                await self._pause(pause)
            else:
                failing_since = None
                backoff = backoff.reset()
                if self.login.state is not LoginState.ONLINE:
                    self._set_online(owner)

    async def _store(self, batch: Batch) -> None:
        """Stores a batch. No interrupt ends the login meanwhile."""
        async with self._store_lock:
            await self._inbound.store(batch, self._position.login_id)
            self._position = replace(self._position, cursor=batch.cursor)

    def _set_interrupted(self, error: Exception) -> None:
        message_key = "storage_trouble" if isinstance(error, StoreError) else "interrupted"
        cause = str(error).removesuffix(".")
        self._set_state(LoginState.INTERRUPTED, self._text(message_key, why=cause))

    async def _wait_for_storage(self) -> None:
        """Waits until the store has room: what is received must be stored."""
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
        qr_url: str = "",
    ) -> None:
        previous = self.login
        self.login = previous.transition(
            state, reason, now_ms(), needs=needs, qr_expires=qr_expires, qr_url=qr_url
        )
        if self.login == previous:
            return
        if state is not previous.state:
            log.info("login", state=str(state), needs=str(self.login.needs), reason=reason)
        self._ctx.signals.login_changed.emit(self.login, qr_url)

    def _text(self, message_key: str, **facts: object) -> str:
        return bridge_text(self._ctx.language, message_key, **facts)
