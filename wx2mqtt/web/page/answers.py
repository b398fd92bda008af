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
from wx2mqtt.web.access import Access
from wx2mqtt.web.assets import Assets
from wx2mqtt.web.document import HEADERS, OURS
from wx2mqtt.web.forms import TooLargeError, TooSlowError, form
from wx2mqtt.web.html import Html
from wx2mqtt.web.page.contacts import AT_ONCE, FARTHEST, LONGEST, people
from wx2mqtt.web.page.events import Events
from wx2mqtt.web.page.facts import Look, facts_of
from wx2mqtt.web.page.live import Live
from wx2mqtt.web.page.page import LONGEST_TEST, Shown, Wanted, question, whole
from wx2mqtt.web.page.parts import LONGEST_NUMBER, file_problems
from wx2mqtt.web.page.words import Say
from wx2mqtt.web.views import Bridge, View
from wx2mqtt.web.visit import LANGUAGE, visit_of
from wx2mqtt.web.words import say

log = structlog.get_logger(__name__)

KEPT = 365 * 86_400  # seconds for which a browser remembers the language
GOODBYE = 10.0  # seconds that a logout may take before the page is shown again; it goes on
AGAIN = 15  # seconds after which one may ask to be followed for again

FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}


class Page:
    """Nobody is followed for any more once `closing` is set."""

    def __init__(self, bridge: Bridge, access: Access, assets: Assets, closing: asyncio.Event) -> None:
        self._bridge = bridge
        self._access = access
        self._assets = assets
        self._closing = closing
        self._live = Live(bridge)

    async def show(self, request: Request) -> Response:
        """GET /."""
        look = _look(request)
        bridge, words = self._bridge, Say(look.language)
        facts = await asyncio.gather(*map(facts_of, bridge.views))
        wanted = Wanted(
            look=look,
            now=now_ms(),
            token=secrets.token_hex(8),
            said=request.query_params.get("said", ""),
            can_leave=self._access.asks,
            file=file_problems(bridge.problems(), words, runs=bool(bridge.views)),
        )
        shown = []
        for one in facts:
            query, first = _searched(request, one.view.name)
            shown.append(Shown(facts=one, contacts=_contacts(one.view, query, first, words), query=query))
        return HTMLResponse(whole(shown, wanted, self._assets), headers=HEADERS)

    async def events(self, request: Request) -> Response:
        """GET /events: what changes; HEAD says whether one may have them.

        Another site could not read them, but it could take the places of those who may.
        """
        if request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
            return _words(request, HTTPStatus.FORBIDDEN, "foreign_origin")
        if self._live.full:
            return _words(
                request, HTTPStatus.SERVICE_UNAVAILABLE, "too_many_viewers", **{"retry-after": f"{AGAIN}"}
            )
        visit = visit_of(request.scope)

        def welcome() -> bool:
            return self._access.stands(visit.session)

        return Events(self._live.follow(_look(request), welcome), self._closing)

    async def contacts(self, request: Request) -> Response:
        """GET /accounts/<account>/contacts: a part of the list, to be put into the page."""
        view = self._view(request)
        if view is None:
            return _words(request, HTTPStatus.NOT_FOUND, "unknown_account")
        query, first = _searched(request, view.name, usual=view.name)
        words = Say(visit_of(request.scope).language)
        listed = _contacts(view, query, first, words)
        return HTMLResponse(listed.encode("utf-8", "replace"), headers=HEADERS)

    async def code(self, request: Request) -> Response:
        """GET /accounts/<account>/qr.png."""
        view = self._view(request)
        if view is None or not view.code:
            return _words(request, HTTPStatus.NOT_FOUND, "no_code")
        return Response(view.code, media_type="image/png", headers=OURS)

    async def log_in(self, request: Request) -> Response:
        """POST /accounts/<account>/login."""
        if (view := self._view(request)) is None:
            return _words(request, HTTPStatus.NOT_FOUND, "unknown_account")
        log.info("login asked for on the page", account=view.name)
        view.log_in()
        return _back("login", view.name, "wechat")

    async def number(self, request: Request) -> Response:
        """POST /accounts/<account>/number with `number`, which the phone shows."""
        if (view := self._view(request)) is None:
            return _words(request, HTTPStatus.NOT_FOUND, "unknown_account")
        try:
            number = (await form(request)).get("number", "").strip()
        except (TooLargeError, TooSlowError):
            number = ""
        digits = number.isascii() and number.isdecimal() and len(number) <= LONGEST_NUMBER
        return _back("number" if digits and view.give_number(number) else "no_number", view.name, "wechat")

    async def ask(self, request: Request) -> Response:
        """GET /accounts/<account>/logout: whether it is meant."""
        if (view := self._view(request)) is None:
            return _words(request, HTTPStatus.NOT_FOUND, "unknown_account")
        words = Say(visit_of(request.scope).language)
        return HTMLResponse(question(view.name, words, self._assets), headers=HEADERS)

    async def log_out(self, request: Request) -> Response:
        """POST /accounts/<account>/logout."""
        if (view := self._view(request)) is None:
            return _words(request, HTTPStatus.NOT_FOUND, "unknown_account")
        log.info("logout asked for on the page", account=view.name)
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await view.log_out()
        return _back("logout", view.name, "wechat")

    async def test(self, request: Request) -> Response:
        """POST /accounts/<account>/test with `text`: to the chat with oneself; and `token`, see `Wanted`."""
        view = self._view(request)
        if view is None or not view.oneself:
            return _words(request, HTTPStatus.NOT_FOUND, "unknown_account")
        try:
            fields = await form(request)
            text = fields.get("text", "")[:LONGEST_TEST]
            await view.send(view.oneself, text, _command_id(fields.get("token", ""), text))
        except TooLargeError:
            return _words(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large")
        except TooSlowError:
            return _words(request, HTTPStatus.REQUEST_TIMEOUT, "body_too_slow")
        except StoreError as trouble:
            log.error("test cannot be stored", account=view.name, problem=str(trouble))
            return _words(request, HTTPStatus.SERVICE_UNAVAILABLE, "not_stored")
        return _back("test", view.name, "last_commands")

    async def language(self, request: Request) -> Response:
        """POST /language with `language`: en or zh, kept in a cookie."""
        try:
            chosen = (await form(request)).get("language", "")
        except (TooLargeError, TooSlowError):
            chosen = ""
        answer = RedirectResponse("./", HTTPStatus.SEE_OTHER)
        if chosen in {"en", "zh"}:
            visitor = visit_of(request.scope).visitor
            answer.set_cookie(
                LANGUAGE,
                chosen,
                max_age=KEPT,
                path=visitor.prefix or "/",
                secure=visitor.secure,
                httponly=True,
                samesite="lax",
            )
        return answer

    async def static(self, request: Request) -> Response:
        """GET /static/<name>."""
        asset = self._assets.served.get(request.path_params["name"])
        if asset is None:
            return _words(request, HTTPStatus.NOT_FOUND, "nothing_here")
        return Response(asset.data, headers={**FOR_EVER, "content-type": asset.content_type})

    def _view(self, request: Request) -> View | None:
        return self._bridge.by_name.get(request.path_params["account"])


def _look(request: Request) -> Look:
    return Look(visit_of(request.scope).language, texts=request.query_params.get("texts") == "1")


def _searched(request: Request, account: str, usual: str = "") -> tuple[str, int]:
    """The query for this account's contacts and from which number on; that of another one counts not here."""
    asked = request.query_params
    if asked.get("account", usual) != account:
        return "", 0
    written = asked.get("from", "")
    first = int(written) if written.isascii() and written.isdecimal() and len(written) < 8 else 0
    return asked.get("q", "")[:LONGEST].strip(), min(first, FARTHEST)


def _contacts(view: View, query: str, first: int, words: Say) -> Html:
    found = view.people(query, first, AT_ONCE)
    if first and not found.entries:  # there are fewer by now
        first, found = 0, view.people(query, 0, AT_ONCE)
    return people(found, query, first, view.name, view.topics, words)


def _command_id(token: str, text: str) -> str:
    """The same form sent twice is one command; with another text it is another one."""
    return f"page-{hashlib.sha256(f'{token}:{text}'.encode('utf-8', 'replace')).hexdigest()[:20]}"


def _back(said: str, account: str, card: str) -> Response:
    """To the page, where one can see what came of it; relative, since a proxy may have moved us."""
    return RedirectResponse(f"../../?said={said}#{account}-{card}", HTTPStatus.SEE_OTHER)


def _words(request: Request, status: int, word: str, **headers: str) -> Response:
    text = say(visit_of(request.scope).language, word)
    return PlainTextResponse(f"{text}\n", status, {"cache-control": "no-store", **headers})
