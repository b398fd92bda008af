"""Renews a login before it ends: offers the QR code of the next login while the current one goes on.

A renewal is due when the login is older than `ilink.renew.after`, or when somebody requests it. What is due
by age is offered when the owner has just written: the phone is in their hand, and the chat is open.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import structlog

from wx2mqtt.aio import cancel_and_wait
from wx2mqtt.bridge.account_owner import AccountOwner
from wx2mqtt.bridge.commands.intake import CommandIntake
from wx2mqtt.bridge.commands.own_texts import OwnText, own_picture, own_text
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.login_session import LoginSession
from wx2mqtt.bridge.login_state import LoginStatus, required_of_person
from wx2mqtt.bridge.login_tracker import RenewalOffer
from wx2mqtt.bridge.status_topics import qr_picture
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BackendError, StoreError
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import LoginState, Needs
from wx2mqtt.store.records import RecordResult
from wx2mqtt.wechat.backend import (
    CodeRequired,
    LoggedIn,
    LoginAge,
    LoginStep,
    Scanned,
    ShowQr,
)

log = structlog.get_logger(__name__)

# How many times a renewal that nobody requested is offered for one login.
MAX_OFFERS = 3

# The time from one such offer to the next.
OFFER_INTERVAL_SECONDS = 86_400.0

# While the login is in these states, its renewal goes on.
_RENEWABLE_STATES = frozenset({LoginState.ONLINE, LoginState.INTERRUPTED})


def is_renewal_due(age: LoginAge, after_seconds: float, now: int) -> bool:
    """Returns whether a login is to be renewed by its age; `now` is in milliseconds."""
    if now - age.made < after_seconds * 1000 or len(age.offers) >= MAX_OFFERS:
        return False
    return not age.offers or now - age.offers[-1] >= OFFER_INTERVAL_SECONDS * 1000


class LoginRenewal:
    """The renewal of the login of one account (`run`).

    1. The code goes into the chat as a picture with a line what to do, and to `login/qr`. The state of the
       login stays `online`, with `needs: renew`.
    2. When the owner has confirmed it, `LoginSession` goes on with the new login: the backend has saved it.
       The commands wait until the owner writes to the new login for the first time.
    3. A code that nobody confirms expires. It is offered again a day later, at most `MAX_OFFERS` times.

    Another account that scans the code changes nothing: only the remembered owner renews a login.
    """

    def __init__(
        self, ctx: AccountContext, owner: AccountOwner, session: LoginSession, intake: CommandIntake
    ) -> None:
        self._ctx = ctx
        self._owner = owner
        self._session = session
        self._intake = intake
        #: Set when a renewal may be due: somebody has written, or requested one.
        self._wake_event = asyncio.Event()
        #: Whether somebody has requested a renewal that is not offered yet.
        self._requested = False
        #: Runs while a code is offered.
        self._offer_task: asyncio.Task[None] | None = None

    def request(self) -> None:
        """Offers a code now, unless one is offered already. Without a login it requests a normal login."""
        if self._session.login.state not in _RENEWABLE_STATES:
            self._ctx.login_requests.request_login()
            return
        self._requested = True
        self._wake_event.set()

    def on_received(self, result: RecordResult) -> None:
        """Offers a renewal that is due if the stored batch has messages: the owner may have written."""
        if result.messages:
            self._wake_event.set()

    def on_login_changed(self, login: LoginStatus) -> None:
        """Ends the offer when the login has ended, since the code of a normal login follows."""
        if login.state not in _RENEWABLE_STATES and self._offer_task is not None:
            self._offer_task.cancel()

    async def run(self) -> None:
        """Offers codes until cancelled."""
        if self._ctx.backend.capabilities.login_seconds is None:  # logins of this backend do not end
            await asyncio.Event().wait()
        while True:
            await self._wake_event.wait()
            self._wake_event.clear()
            requested = self._requested
            self._requested = False
            if self._session.logged_in and (requested or self._is_due()):
                await self._run_offer(requested=requested)

    async def _run_offer(self, *, requested: bool) -> None:
        """Offers one code in a task of its own, which `on_login_changed` may cancel."""
        self._offer_task = asyncio.create_task(self._offer(requested=requested))
        try:
            await asyncio.wait([self._offer_task])
            if not self._offer_task.cancelled():
                self._offer_task.result()  # raises an internal error, which ends the account
        finally:
            await cancel_and_wait([self._offer_task])
            self._offer_task = None

    def _is_due(self) -> bool:
        after_seconds = self._ctx.settings.account.ilink.renew.after
        age = self._ctx.backend.login_age()
        return after_seconds is not None and age is not None and is_renewal_due(age, after_seconds, now_ms())

    async def _offer(self, *, requested: bool) -> None:
        """Offers one code, and lets the session go on with the new login when the owner has confirmed it."""
        confirmed = False
        requests = self._ctx.login_requests
        requests.begin_renewal()
        renewal = self._ctx.backend.renew(self._owner.is_remembered, requested=requested)
        try:
            async with aclosing(renewal) as steps:
                async for step in steps:
                    confirmed = await self._show(step)
        except (BackendError, StoreError) as error:
            log.warning("no code for the renewal of the login", problem=str(error))
        finally:
            self._session.state.set_renewal(None)
            requests.end_renewal(confirmed=confirmed)

    async def _show(self, step: LoginStep) -> bool:
        """Shows a step of the new login; returns whether it is the owner's and complete."""
        match step:
            case ShowQr(url=url, lifetime=lifetime):
                expires = now_ms() + int(lifetime * 1000)
                self._show_offer("renew", Needs.RENEW, qr_expires=expires, qr_url=url)
                await self._send_code(url, lifetime)
            case Scanned():
                self._show_offer("confirm", Needs.RENEW)
            case CodeRequired():
                self._show_offer(*required_of_person(step))
            case LoggedIn(owner=owner):
                if self._owner.is_remembered(owner):
                    log.info("login renewed")
                    return True
                log.warning("another account has scanned the code for the renewal of the login")
                self._owner.report_refused(owner.nickname)
        return False

    def _show_offer(
        self, message_key: str, needs: Needs, *, qr_expires: int | None = None, qr_url: str = ""
    ) -> None:
        reason = bridge_text(self._ctx.language, message_key)
        self._session.state.set_renewal(
            RenewalOffer(reason=reason, needs=needs, qr_expires=qr_expires, qr_url=qr_url)
        )

    async def _send_code(self, url: str, lifetime: float) -> None:
        """Sends the code into the chat with the owner if WeChat takes messages there. Raises `StoreError`."""
        handle = self._ctx.registry.owner_handle
        if handle is None:
            return
        window = self._ctx.backend.reply_window(handle)
        person = self._ctx.registry.by_handle(handle)
        if person is None or window is None or not window.open:
            return
        hint = bridge_text(self._ctx.language, "renew_hint")
        user, person_id = person.topic_name, person.id
        await self._intake.accept_own_text(own_text(OwnText.RENEWAL, user, person_id, hint, ttl=lifetime))
        picture = own_picture(OwnText.RENEWAL, user, person_id, ttl=lifetime)
        await self._intake.accept_own_text(picture, qr_picture(url))
