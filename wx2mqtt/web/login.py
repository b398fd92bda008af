"""The form where a person enters the password, and the end of a session."""

from __future__ import annotations

import math
import re
from http import HTTPStatus

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from wx2mqtt.web.access import Access, Judged, Verdict
from wx2mqtt.web.assets import Assets
from wx2mqtt.web.document import HEADERS, document
from wx2mqtt.web.forms import TooLargeError, TooSlowError, form
from wx2mqtt.web.gate import COOKIE, LOGIN
from wx2mqtt.web.html import Html, tag, together
from wx2mqtt.web.sessions import LASTS
from wx2mqtt.web.visit import Visit, visit_of
from wx2mqtt.web.words import say

log = structlog.get_logger(__name__)

_OURS = re.compile(r"/(?:[A-Za-z0-9_.~%=&?-][A-Za-z0-9_.~%=&?/-]{0,500})?", re.ASCII)
"""A path of ours with its query: one slash at the beginning, so that it names no host."""


class Login:
    """Answers for /login and /logout."""

    def __init__(self, access: Access, assets: Assets) -> None:
        self._access = access
        self._assets = assets

    async def show(self, request: Request) -> Response:
        """GET /login."""
        visit = visit_of(request.scope)
        if not self._access.asks:
            return self._page(visit, told="no_password")
        if visit.welcome:
            return self._page(visit, _out(visit), told="logged_in")
        return self._page(visit, _ask(visit, _ours(request.query_params.get("next", ""))))

    async def log_in(self, request: Request) -> Response:
        """POST /login with `password` and `next`, the path to go to."""
        visit = visit_of(request.scope)
        try:
            fields = await form(request)
        except TooLargeError:
            return _short(visit, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large")
        except TooSlowError:
            return _short(visit, HTTPStatus.REQUEST_TIMEOUT, "body_too_slow")
        after = _ours(fields.get("next", ""))
        if not self._access.asks:
            return self._page(visit, told="no_password")
        judged = self._access.log_in(fields.get("password", ""), visit.visitor.address)
        if judged.verdict is not Verdict.WELCOME:
            return self._again(visit, judged, after)
        answer = RedirectResponse(f"{visit.visitor.prefix}{after}", HTTPStatus.SEE_OTHER)
        _set_cookie(answer, visit, judged.session, int(LASTS))
        return answer

    async def log_out(self, request: Request) -> Response:
        """POST /logout."""
        visit = visit_of(request.scope)
        self._access.log_out(visit.session)
        answer = RedirectResponse(f"{visit.visitor.prefix}{LOGIN}", HTTPStatus.SEE_OTHER)
        _set_cookie(answer, visit, "", 0)
        return answer

    def _again(self, visit: Visit, judged: Judged, after: str) -> Response:
        asked = _ask(visit, after)
        if judged.verdict is Verdict.TOO_OFTEN:
            wait = math.ceil(judged.wait)
            page = self._page(visit, asked, HTTPStatus.TOO_MANY_REQUESTS, told="wait_first", seconds=wait)
            page.headers["retry-after"] = str(wait)
            return page
        log.warning("wrong password for the page", address=visit.visitor.address)
        page = self._page(visit, asked, HTTPStatus.UNAUTHORIZED, told="wrong_password")
        page.headers["www-authenticate"] = 'Bearer realm="wx2mqtt"'
        return page

    def _page(
        self,
        visit: Visit,
        asked: Html | None = None,
        status: int = HTTPStatus.OK,
        *,
        told: str = "",
        **facts: object,
    ) -> Response:
        sentence = (
            tag("p", say(visit.language, told, **facts), role="alert", class_="notice") if told else None
        )
        main = tag("main", tag("h1", "wx2mqtt"), sentence, asked, class_="alone card")
        title = f"wx2mqtt · {say(visit.language, 'title')}"
        return HTMLResponse(document(tag("body", main), title, visit.language, self._assets), status, HEADERS)


def _ask(visit: Visit, after: str) -> Html:
    return tag(
        "form",
        tag("input", type="hidden", name="next", value=after),
        tag("input", name="username", autocomplete="username", value="wx2mqtt", hidden=True),
        tag("label", say(visit.language, "password"), for_="password"),
        tag(
            "input",
            id="password",
            name="password",
            type="password",
            autocomplete="current-password",
            required=True,
            autofocus=True,
        ),
        tag("button", say(visit.language, "log_in"), class_="main"),
        method="post",
        action="login",
    )


def _out(visit: Visit) -> Html:
    out = tag("form", tag("button", say(visit.language, "log_out")), method="post", action="logout")
    return together([tag("p", tag("a", say(visit.language, "to_page"), href="./")), out])


def _ours(path: str) -> str:
    """The path where a login leads; nothing that leads out of this server."""
    return path if _OURS.fullmatch(path) else "/"


def _set_cookie(answer: Response, visit: Visit, key: str, lasts: int) -> None:
    answer.set_cookie(
        COOKIE,
        key,
        max_age=lasts,
        path=visit.visitor.prefix or "/",
        secure=visit.visitor.secure,
        httponly=True,
        samesite="lax",
    )


def _short(visit: Visit, status: int, word: str) -> Response:
    return PlainTextResponse(f"{say(visit.language, word)}\n", status, {"cache-control": "no-store"})
