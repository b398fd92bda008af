"""Answers for the page and its forms. What a form asks for goes the way of a command on MQTT.

Who may ask, and that a form is one of ours, was seen to by the gate.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from contextlib import suppress
from http import HTTPStatus

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.i18n.web import server_text
from wx2mqtt.web.auth import Authenticator
from wx2mqtt.web.html import COMMON_HEADERS, DOCUMENT_HEADERS, Assets, Html, PageText
from wx2mqtt.web.page.live import EventStreamResponse, LiveUpdates
from wx2mqtt.web.page.page import (
    MAX_OFFSET,
    MAX_QUERY_CHARACTERS,
    MAX_TEST_CHARACTERS,
    PEOPLE_PER_PAGE,
    PageAccount,
    PageQuery,
    people_section,
    render_logout_confirmation,
    render_page,
)
from wx2mqtt.web.page.sections import MAX_CODE_DIGITS, file_problems_section
from wx2mqtt.web.request import LANGUAGE_COOKIE, FormTooLargeError, FormTooSlowError, context_of, read_form
from wx2mqtt.web.views import AccountReader, BridgeState, PageOptions, account_snapshot

log = structlog.get_logger(__name__)

LANGUAGE_COOKIE_SECONDS = 365 * 86_400  # seconds for which a browser remembers the language
LOGOUT_WAIT_SECONDS = 10.0  # seconds that a logout may take before the page is shown again; it goes on
RETRY_AFTER_SECONDS = 15  # seconds after which one may ask to be followed for again

IMMUTABLE_HEADERS = {"cache-control": "public, max-age=31536000, immutable"}


class PageHandlers:
    """Nobody is followed for any more once `closing` is set."""

    def __init__(
        self, bridge: BridgeState, authenticator: Authenticator, assets: Assets, closing: asyncio.Event
    ) -> None:
        self._bridge = bridge
        self._authenticator = authenticator
        self._assets = assets
        self._closing = closing
        self._live_updates = LiveUpdates(bridge)

    async def show(self, request: Request) -> Response:
        """GET /."""
        look = _look(request)
        bridge, words = self._bridge, PageText(look.language)
        facts = await asyncio.gather(*map(account_snapshot, bridge.views))
        wanted = PageQuery(
            options=look,
            now=now_ms(),
            token=secrets.token_hex(8),
            notice=request.query_params.get("said", ""),
            can_log_out=self._authenticator.requires_password,
            file_problems=file_problems_section(bridge.problems(), words, is_running=bool(bridge.views)),
        )
        shown = []
        for one in facts:
            query, first = _searched(request, one.view.name)
            shown.append(
                PageAccount(snapshot=one, contacts=_contacts(one.view, query, first, words), query=query)
            )
        return HTMLResponse(render_page(shown, wanted, self._assets), headers=DOCUMENT_HEADERS)

    async def events(self, request: Request) -> Response:
        """GET /events: what changes; HEAD says whether one may have them.

        Another site could not read them, but it could take the places of those who may.
        """
        if request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
            return _words(request, HTTPStatus.FORBIDDEN, "foreign_origin")
        if self._live_updates.is_full:
            return _words(
                request,
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too_many_viewers",
                **{"retry-after": f"{RETRY_AFTER_SECONDS}"},
            )
        visit = context_of(request.scope)

        def welcome() -> bool:
            return self._authenticator.is_session_valid(visit.session_key)

        return EventStreamResponse(self._live_updates.stream(_look(request), welcome), self._closing)

    async def contacts(self, request: Request) -> Response:
        """GET /accounts/<account>/contacts: a part of the list, to be put into the page."""
        view = self._account_of(request)
        if view is None:
            return _words(request, HTTPStatus.NOT_FOUND, "unknown_account")
        query, first = _searched(request, view.name, default_account=view.name)
        words = PageText(context_of(request.scope).language)
        listed = _contacts(view, query, first, words)
        return HTMLResponse(listed.encode("utf-8", "replace"), headers=DOCUMENT_HEADERS)

    async def qr_png(self, request: Request) -> Response:
        """GET /accounts/<account>/qr.png."""
        view = self._account_of(request)
        if view is None or not view.qr_png:
            return _words(request, HTTPStatus.NOT_FOUND, "no_code")
        return Response(view.qr_png, media_type="image/png", headers=COMMON_HEADERS)

    async def request_login(self, request: Request) -> Response:
        """POST /accounts/<account>/login."""
        if (view := self._account_of(request)) is None:
            return _words(request, HTTPStatus.NOT_FOUND, "unknown_account")
        log.info("login asked for on the page", account=view.name)
        view.request_login()
        return _back("login", view.name, "wechat")

    async def enter_verification_code(self, request: Request) -> Response:
        """POST /accounts/<account>/number with `number`, which the phone shows."""
        if (view := self._account_of(request)) is None:
            return _words(request, HTTPStatus.NOT_FOUND, "unknown_account")
        try:
            number = (await read_form(request)).get("number", "").strip()
        except (FormTooLargeError, FormTooSlowError):
            number = ""
        digits = number.isascii() and number.isdecimal() and len(number) <= MAX_CODE_DIGITS
        return _back(
            "number" if digits and view.enter_verification_code(number) else "no_number", view.name, "wechat"
        )

    async def confirm_logout(self, request: Request) -> Response:
        """GET /accounts/<account>/logout: whether it is meant."""
        if (view := self._account_of(request)) is None:
            return _words(request, HTTPStatus.NOT_FOUND, "unknown_account")
        words = PageText(context_of(request.scope).language)
        return HTMLResponse(
            render_logout_confirmation(view.name, words, self._assets), headers=DOCUMENT_HEADERS
        )

    async def log_out(self, request: Request) -> Response:
        """POST /accounts/<account>/logout."""
        if (view := self._account_of(request)) is None:
            return _words(request, HTTPStatus.NOT_FOUND, "unknown_account")
        log.info("logout asked for on the page", account=view.name)
        with suppress(TimeoutError):
            async with asyncio.timeout(LOGOUT_WAIT_SECONDS):
                await view.log_out()
        return _back("logout", view.name, "wechat")

    async def send_test(self, request: Request) -> Response:
        """POST /accounts/<account>/test with `text`: to the chat with oneself; and `token`, see
        `PageQuery`.
        """
        view = self._account_of(request)
        if view is None or not view.test_recipient:
            return _words(request, HTTPStatus.NOT_FOUND, "unknown_account")
        try:
            fields = await read_form(request)
            text = fields.get("text", "")[:MAX_TEST_CHARACTERS]
            await view.send(view.test_recipient, text, _command_id(fields.get("token", ""), text))
        except FormTooLargeError:
            return _words(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large")
        except FormTooSlowError:
            return _words(request, HTTPStatus.REQUEST_TIMEOUT, "body_too_slow")
        except StoreError as trouble:
            log.error("test cannot be stored", account=view.name, problem=str(trouble))
            return _words(request, HTTPStatus.SERVICE_UNAVAILABLE, "not_stored")
        return _back("test", view.name, "last_commands")

    async def set_language(self, request: Request) -> Response:
        """POST /language with `language`: en or zh, kept in a cookie."""
        try:
            chosen = (await read_form(request)).get("language", "")
        except (FormTooLargeError, FormTooSlowError):
            chosen = ""
        answer = RedirectResponse("./", HTTPStatus.SEE_OTHER)
        if chosen in {"en", "zh"}:
            visitor = context_of(request.scope).client
            answer.set_cookie(
                LANGUAGE_COOKIE,
                chosen,
                max_age=LANGUAGE_COOKIE_SECONDS,
                path=visitor.prefix or "/",
                secure=visitor.is_https,
                httponly=True,
                samesite="lax",
            )
        return answer

    async def static(self, request: Request) -> Response:
        """GET /static/<name>."""
        asset = self._assets.by_served_name.get(request.path_params["name"])
        if asset is None:
            return _words(request, HTTPStatus.NOT_FOUND, "nothing_here")
        return Response(asset.data, headers={**IMMUTABLE_HEADERS, "content-type": asset.content_type})

    def _account_of(self, request: Request) -> AccountReader | None:
        return self._bridge.by_name.get(request.path_params["account"])


def _look(request: Request) -> PageOptions:
    return PageOptions(
        context_of(request.scope).language, show_texts=request.query_params.get("texts") == "1"
    )


def _searched(request: Request, account: str, default_account: str = "") -> tuple[str, int]:
    """The query for this account's contacts and from which number on; that of another one counts not here."""
    asked = request.query_params
    if asked.get("account", default_account) != account:
        return "", 0
    written = asked.get("from", "")
    first = int(written) if written.isascii() and written.isdecimal() and len(written) < 8 else 0
    return asked.get("q", "")[:MAX_QUERY_CHARACTERS].strip(), min(first, MAX_OFFSET)


def _contacts(view: AccountReader, query: str, first: int, page_text: PageText) -> Html:
    found = view.search_people(query, first, PEOPLE_PER_PAGE)
    if first and not found.entries:  # there are fewer by now
        first, found = 0, view.search_people(query, 0, PEOPLE_PER_PAGE)
    return people_section(found, query, first, view.name, view.topics, page_text)


def _command_id(token: str, text: str) -> str:
    """The same form sent twice is one command; with another text it is another one."""
    return f"page-{hashlib.sha256(f'{token}:{text}'.encode('utf-8', 'replace')).hexdigest()[:20]}"


def _back(notice: str, account: str, section: str) -> Response:
    """To the page, where one can see what came of it; relative, since a proxy may have moved us."""
    return RedirectResponse(f"../../?said={notice}#{account}-{section}", HTTPStatus.SEE_OTHER)


def _words(request: Request, status: int, message_key: str, **headers: str) -> Response:
    text = server_text(context_of(request.scope).language, message_key)
    return PlainTextResponse(f"{text}\n", status, {"cache-control": "no-store", **headers})
