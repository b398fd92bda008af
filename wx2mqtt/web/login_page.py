"""The form where a person enters the password, and the end of a session."""

from __future__ import annotations

import math
import re
from http import HTTPStatus

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from wx2mqtt.i18n.web import server_text
from wx2mqtt.web.auth import SESSION_SECONDS, AuthDecision, Authenticator, AuthResult
from wx2mqtt.web.html import DOCUMENT_HEADERS, Assets, Html, html_document, join_html, tag
from wx2mqtt.web.middleware import LOGIN_PATH, SESSION_COOKIE
from wx2mqtt.web.request import FormTooLargeError, FormTooSlowError, RequestContext, context_of, read_form

log = structlog.get_logger(__name__)

_OURS = re.compile(r"/(?:[A-Za-z0-9_.~%=&?-][A-Za-z0-9_.~%=&?/-]{0,500})?", re.ASCII)
"""A path of ours with its query: one slash at the beginning, so that it names no host."""


class LoginPage:
    """Answers for /login and /logout."""

    def __init__(self, authenticator: Authenticator, assets: Assets) -> None:
        self._authenticator = authenticator
        self._assets = assets

    async def show(self, request: Request) -> Response:
        """GET /login."""
        visit = context_of(request.scope)
        if not self._authenticator.requires_password:
            return self._render(visit, message_key="no_password")
        if visit.is_allowed:
            return self._render(visit, _out(visit), message_key="logged_in")
        return self._render(visit, _ask(visit, _ours(request.query_params.get("next", ""))))

    async def log_in(self, request: Request) -> Response:
        """POST /login with `password` and `next`, the path to go to."""
        visit = context_of(request.scope)
        try:
            fields = await read_form(request)
        except FormTooLargeError:
            return _short(visit, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large")
        except FormTooSlowError:
            return _short(visit, HTTPStatus.REQUEST_TIMEOUT, "body_too_slow")
        after = _ours(fields.get("next", ""))
        if not self._authenticator.requires_password:
            return self._render(visit, message_key="no_password")
        judged = self._authenticator.log_in(fields.get("password", ""), visit.client.address)
        if judged.decision is not AuthDecision.ALLOWED:
            return self._show_failure(visit, judged, after)
        answer = RedirectResponse(f"{visit.client.prefix}{after}", HTTPStatus.SEE_OTHER)
        _set_cookie(answer, visit, judged.session_key, int(SESSION_SECONDS))
        return answer

    async def log_out(self, request: Request) -> Response:
        """POST /logout."""
        visit = context_of(request.scope)
        self._authenticator.log_out(visit.session_key)
        answer = RedirectResponse(f"{visit.client.prefix}{LOGIN_PATH}", HTTPStatus.SEE_OTHER)
        _set_cookie(answer, visit, "", 0)
        return answer

    def _show_failure(self, context: RequestContext, auth_result: AuthResult, next_path: str) -> Response:
        asked = _ask(context, next_path)
        if auth_result.decision is AuthDecision.THROTTLED:
            wait = math.ceil(auth_result.wait_seconds)
            page = self._render(
                context, asked, HTTPStatus.TOO_MANY_REQUESTS, message_key="wait_first", seconds=wait
            )
            page.headers["retry-after"] = str(wait)
            return page
        log.warning("wrong password for the page", address=context.client.address)
        page = self._render(context, asked, HTTPStatus.UNAUTHORIZED, message_key="wrong_password")
        page.headers["www-authenticate"] = 'Bearer realm="wx2mqtt"'
        return page

    def _render(
        self,
        context: RequestContext,
        content: Html | None = None,
        status: int = HTTPStatus.OK,
        *,
        message_key: str = "",
        **facts: object,
    ) -> Response:
        sentence = (
            tag("p", server_text(context.language, message_key, **facts), role="alert", class_="notice")
            if message_key
            else None
        )
        main = tag("main", tag("h1", "wx2mqtt"), sentence, content, class_="alone card")
        title = f"wx2mqtt · {server_text(context.language, 'title')}"
        return HTMLResponse(
            html_document(tag("body", main), title, context.language, self._assets), status, DOCUMENT_HEADERS
        )


def _ask(context: RequestContext, next_path: str) -> Html:
    return tag(
        "form",
        tag("input", type="hidden", name="next", value=next_path),
        tag("input", name="username", autocomplete="username", value="wx2mqtt", hidden=True),
        tag("label", server_text(context.language, "password"), for_="password"),
        tag(
            "input",
            id="password",
            name="password",
            type="password",
            autocomplete="current-password",
            required=True,
            autofocus=True,
        ),
        tag("button", server_text(context.language, "log_in"), class_="main"),
        method="post",
        action="login",
    )


def _out(context: RequestContext) -> Html:
    out = tag("form", tag("button", server_text(context.language, "log_out")), method="post", action="logout")
    return join_html([tag("p", tag("a", server_text(context.language, "to_page"), href="./")), out])


def _ours(path: str) -> str:
    """The path where a login leads; nothing that leads out of this server."""
    return path if _OURS.fullmatch(path) else "/"


def _set_cookie(answer: Response, context: RequestContext, key: str, max_age: int) -> None:
    answer.set_cookie(
        SESSION_COOKIE,
        key,
        max_age=max_age,
        path=context.client.prefix or "/",
        secure=context.client.is_https,
        httponly=True,
        samesite="lax",
    )


def _short(context: RequestContext, status: int, message_key: str) -> Response:
    return PlainTextResponse(
        f"{server_text(context.language, message_key)}\n", status, {"cache-control": "no-store"}
    )
