"""The session of one account with WeChat: logs in, receives until the login ends, and logs in again.

One task (`LoginSession.run`) repeats three steps:

1. `login.py` resumes the saved login, or shows QR codes until somebody scans one.
2. The contacts of a new login are fetched; those of a resumed one are updated meanwhile.
3. `inbound.py` receives and stores messages.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import NoReturn

import structlog

from wx2mqtt.aio import cancel_and_wait, wait_at_most
from wx2mqtt.bridge.account_owner import AccountOwner, CommandsOfLogin, WrongAccount
from wx2mqtt.bridge.bot_owner import BotOwner
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inbound import POLL_WATCHDOG_SECONDS, InboundMessages, ReceiveLoop
from wx2mqtt.bridge.login import MAX_QR_CODES, AccountLogin, LoginAttempt, TooManyQrCodes
from wx2mqtt.bridge.login_requests import (
    CredentialsChanged,
    LoginRenewed,
    LoginRequested,
    LogoutRequested,
    SessionPhase,
)
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.login_tracker import RETRIED_ERRORS, STEP_WATCHDOG_SECONDS, LoginStateTracker, retry_delay
from wx2mqtt.bridge.people.evidence import ContactFacts, contact_facts
from wx2mqtt.clock import Backoff, now_ms
from wx2mqtt.errors import LoggedOut, LoginEnded, LoginRefused, ProtocolViolation, Throttled, Unreachable
from wx2mqtt.model import Cursor, LoginState, Needs, Owner
from wx2mqtt.wechat.backend import LoggedIn

log = structlog.get_logger(__name__)

# The exceptions that end a login or an attempt to log in. The temporary `RETRIED_ERRORS` end none.
LOGIN_ENDS = (
    LoggedOut,
    LoginRenewed,
    LoginRequested,
    LogoutRequested,
    CredentialsChanged,
    LoginRefused,
    WrongAccount,
    TooManyQrCodes,
)

# When the contacts could not be fetched so many times in a row, a login goes on with the stored ones.
MAX_FETCH_ATTEMPTS = 3

# After those failures the contacts are fetched again every time that this has passed, and when WeChat answers
# again after an outage.
CONTACTS_RETRY_SECONDS = 300.0

# Somebody who confirms a renewal on the phone ends the old login before the answer to the renewal is there.
# The session waits for that answer this long.
RENEWAL_GRACE_SECONDS = 15.0


class LoginSession:
    """Keeps one account logged in and receives its messages (`run`).

    Only an exception ends the steps. A step raises it, or `_run_until_request` for a request from outside
    (`login_requests.py`):

    - After one of `RETRIED_ERRORS` the same is tried again after a pause, which grows.
    - After one of `LOGIN_ENDS` `_handle_end` decides: the next login follows at once, or not until somebody
      requests it. So no error can lead to a storm of logins.
    """

    def __init__(
        self,
        ctx: AccountContext,
        inbound: InboundMessages,
        owner: AccountOwner,
        bot_owner: BotOwner,
        commands: CommandsOfLogin,
    ) -> None:
        self._ctx = ctx
        self._inbound = inbound
        self._owner = owner
        self._commands = commands
        #: What `login/state` says.
        self.state = LoginStateTracker(ctx, bot_owner)
        self._requests = ctx.login_requests
        self._account_login = AccountLogin(ctx, owner, self.state)
        self._receive_loop = ReceiveLoop(ctx, inbound, commands, self.state)
        #: Whether the contacts of this login are stored.
        self.contacts_known = False

    @property
    def login(self) -> LoginStatus:
        return self.state.status

    @property
    def logged_in(self) -> bool:
        """Whether messages are received and can be sent."""
        return self._requests.phase is SessionPhase.RECEIVING

    def restore(self, cursor: Cursor | None, login_id: str, *, contacts_known: bool) -> None:
        """Continues from what the previous run stored."""
        self._receive_loop.login_id = login_id
        self._receive_loop.cursor = cursor or Cursor("")
        self.contacts_known = contacts_known

    async def run(self) -> None:
        """Logs in and receives until cancelled."""
        attempt = LoginAttempt(resume=True)
        backoff = Backoff()
        while True:
            try:
                await self._run_until_request(attempt)
            except RETRIED_ERRORS as error:
                backoff = backoff.after_failure()
                self.state.set_interrupted(error)
                pause_seconds = retry_delay(error, backoff, random.random())
                # A resumed login may ask for a confirmation on the phone, which must not be repeated.
                resume = attempt.resume and not self._account_login.phone_asked
                attempt = replace(attempt, resume=resume, pause_seconds=pause_seconds)
            except LOGIN_ENDS as end:
                backoff = backoff.reset()
                attempt = await self._handle_end(end)

    async def _run_until_request(self, attempt: LoginAttempt) -> NoReturn:
        """Runs one login until an error ends it, or a request. Raises the error, or the request.

        If both come at the same time, the request counts.
        """
        self._requests.discard_outdated()  # this attempt fulfils the login requests made so far
        login_task = asyncio.create_task(self._log_in_and_receive(attempt))
        request_task = asyncio.create_task(self._requests.next_request())
        try:
            await asyncio.wait([login_task, request_task], return_when=asyncio.FIRST_COMPLETED)
            if request_task.done():
                async with self._receive_loop.store_lock:  # after the batch that is being stored
                    raise request_task.result()
            await login_task  # raises its error
        finally:
            await cancel_and_wait([login_task, request_task])

    async def _log_in_and_receive(self, attempt: LoginAttempt) -> NoReturn:
        """Runs one login, from its beginning until an exception ends it."""
        self._ctx.heartbeat("receive", attempt.pause_seconds + STEP_WATCHDOG_SECONDS)
        await asyncio.sleep(attempt.pause_seconds)
        accepted = await self._account_login.log_in(attempt)
        self._requests.phase = SessionPhase.ACCEPTED
        contact_update: asyncio.Task[None] | None = None
        try:
            self._inbound.owner = accepted.owner
            contact_update = await self._load_contacts(accepted)
            self._requests.phase = SessionPhase.RECEIVING
            await self._receive_loop.run(accepted.owner)
        finally:
            self._requests.phase = SessionPhase.LOGGING_IN
            self._commands.set_online(False)
            if contact_update is not None:
                contact_update.cancel()

    async def start_receiving(self, accepted: LoggedIn) -> None:
        """Prepares `receive_once` for a command that has logged in while no bridge runs."""
        self._inbound.owner = accepted.owner
        update = await self._load_contacts(accepted)
        if update is not None:
            await update

    async def receive_once(self) -> None:
        """Receives and stores one batch. Raises `LoggedOut` and `RETRIED_ERRORS`."""
        await self._receive_loop.receive_once()

    async def _handle_end(self, end: Exception) -> LoginAttempt:
        """Publishes why the login ended; returns the next attempt, now or when somebody requests it."""
        match end:
            case LoginEnded() | LoginRefused():
                await self._idle_after_end(end)
            case LoggedOut():
                if await self._requests.renewal_confirmed(RENEWAL_GRACE_SECONDS):
                    return LoginAttempt(resume=True)
                self.state.set(LoginState.LOGGED_OUT, str(end))
                self._commands.on_login_ended(str(end))
                return LoginAttempt(previous_reason=str(end))
            case LoginRenewed() | CredentialsChanged():
                return LoginAttempt(resume=True)
            case LoginRequested():
                self._account_login.qr_codes_shown = 0
                if end.new_owner:
                    await self._end_login_of_owner()
            case LogoutRequested():
                await self._ctx.backend.logout()
                reason = self.state.text("logged_out_by_request")
                await self._idle_until_requested(LoginState.LOGGED_OUT, reason)
            case WrongAccount():
                await self._ctx.backend.logout()
                self._owner.report_refused(end.nickname)
                await self._idle_until_requested(LoginState.REFUSED, str(end), needs=Needs.RELOGIN)
            case TooManyQrCodes():
                reason = self.state.text("too_many_codes", count=MAX_QR_CODES)
                await self._idle_until_requested(LoginState.LOGGED_OUT, reason)
        return LoginAttempt()  # with a QR code

    async def _end_login_of_owner(self) -> None:
        """Ends the login before that of a new owner, so that a restart does not resume it."""
        if self.login.state in (LoginState.ONLINE, LoginState.INTERRUPTED):
            self.state.set(LoginState.LOGGED_OUT, self.state.text("logged_out_by_request"))
        await self._ctx.backend.logout()
        self.state.set(LoginState.STARTING, self.state.text("starting"))

    async def _idle_after_end(self, end: LoginEnded | LoginRefused) -> None:
        """Is idle after an end that no attempt may follow by itself."""
        reason = str(end)
        self._commands.on_login_ended(reason)
        if isinstance(end, LoginEnded):
            await self._idle_until_requested(LoginState.LOGGED_OUT, reason)
            return
        if self.login.state is LoginState.ONLINE:  # `refused` does not follow from `online` directly
            self.state.set(LoginState.INTERRUPTED, reason)
        needs = Needs.RELOGIN if end.is_correctable else None
        await self._idle_until_requested(LoginState.REFUSED, reason, needs=needs)

    async def _idle_until_requested(self, state: LoginState, reason: str, needs: Needs | None = None) -> None:
        self.state.set(state, reason, needs=needs)
        self._ctx.idle("receive")
        await self._requests.wait_for_login_request()
        self._account_login.qr_codes_shown = 0

    def stop(self, reason_key: str = "stopped") -> None:
        """Sets the state `stopped`; `reason_key` names the text. The next start resumes the login."""
        self.state.set(LoginState.STOPPED, self.state.text(reason_key))

    # Contacts

    async def _load_contacts(self, accepted: LoggedIn) -> asyncio.Task[None] | None:
        """Fetches the contacts of a new login, before its messages are received.

        - Returns None when they are stored.
        - Returns the task that fetches them meanwhile, if those of a resumed login are stored already, or
          WeChat does not hand them over.
        """
        has_stored_contacts = (
            accepted.resumed
            and accepted.login_id == self._receive_loop.login_id
            and self._ctx.registry.is_current_login(accepted.login_id)
        )
        if not has_stored_contacts:
            await self._receive_loop.start_login(accepted)
            await self._store_contacts((), accepted, complete=False)  # handles of earlier logins are invalid
            if await self._fetch_contacts(accepted):
                return None
        return asyncio.create_task(self._update_contacts(accepted))

    async def _update_contacts(self, accepted: LoggedIn) -> None:
        """Fetches the contacts until WeChat hands them over: commands may wait for them."""
        recovered = self._receive_loop.recovered
        try:
            recovered.clear()
            while not await self._fetch_contacts(accepted):
                await wait_at_most(recovered, CONTACTS_RETRY_SECONDS)
                recovered.clear()
        except LoggedOut as error:
            self._requests.on_logged_out(error)

    async def _fetch_contacts(self, accepted: LoggedIn) -> bool:
        """Fetches and stores all contacts. Raises `LoggedOut`.

        Returns False after `MAX_FETCH_ATTEMPTS` failures.
        """
        backoff = Backoff()
        for _ in range(MAX_FETCH_ATTEMPTS):
            try:
                contacts = await self._read_contacts(accepted.owner)
            except (Unreachable, Throttled, ProtocolViolation) as error:
                log.warning("contacts cannot be fetched yet", problem=str(error))
                backoff = backoff.after_failure()
                await asyncio.sleep(backoff.wait(random.random()))
                continue
            await asyncio.sleep(0)  # reading the last page and comparing thousands get a loop turn each
            await self._store_contacts(contacts, accepted, complete=True)
            stale = self._ctx.registry.remove_stale(now_ms())
            await self._inbound.apply_people(stale, self.state.on_store_failure)
            self.contacts_known = True
            self._commands.recheck()
            return True
        return False

    async def _read_contacts(self, owner: Owner) -> list[ContactFacts]:
        """Returns all contacts of WeChat, and those of the configuration. Raises what the backend raises."""
        configured = self._owner.known_contacts()
        contacts = [contact_facts(contact, owner.handle, owner.uin) for contact in configured]
        pages = self._ctx.backend.list_contacts(self._ctx.shared.contacts_fetched.emit)
        async with aclosing(pages):
            async for page in pages:
                # Converted page by page: thousands at once would hold up the event loop.
                contacts += [contact_facts(contact, owner.handle, owner.uin) for contact in page]
                self.state.on_answer()
        return contacts

    async def _store_contacts(
        self, contacts: Sequence[ContactFacts], accepted: LoggedIn, *, complete: bool
    ) -> None:
        """Compares contacts with the known people, and stores the changes; retries while the store fails."""
        changes = self._ctx.registry.apply_directory(
            contacts, accepted.login_id, accepted.owner, now_ms(), complete=complete
        )
        await self._inbound.apply_people(changes, self.state.on_store_failure)

    # Called by other components

    def enter_verification_code(self, code: str) -> bool:
        """Passes on the number that the phone shows; returns False when WeChat has not asked for one."""
        if self.login.needs is not Needs.CODE:
            return False
        self._ctx.backend.enter_verification_code(code)
        return True

    def on_message_processed(self) -> None:
        """Sends a heartbeat: a batch whose messages take long is not stuck."""
        if self._requests.phase is SessionPhase.RECEIVING:
            self._ctx.heartbeat("receive", POLL_WATCHDOG_SECONDS)
