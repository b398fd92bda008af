"""GET and POST /login, POST /logout: the form for the password, and the session cookie.

    POST /login  password=secret&next=/?texts=1   ->   303 to /?texts=1, with the cookie of a new session

A wrong password is answered 401 with the form again, too many of them from one address with 429.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from http import HTTPStatus

import structlog
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from wx2mqtt.i18n.web import server_text
from wx2mqtt.web.allowed_hosts import client_network
from wx2mqtt.web.auth import SESSION_SECONDS, AuthDecision, Authenticator
from wx2mqtt.web.html import Assets, html_document, join_html, tag
from wx2mqtt.web.middleware import LOGIN_PATH
from wx2mqtt.web.request_context import (
    FORM_TIMEOUT_SECONDS,
    SESSION_COOKIE,
    BadForm,
    RequestContext,
    context_of,
    read_form,
)
from wx2mqtt.web.responses import AUTHENTICATE_HEADERS, PAGE_HEADERS, set_cookie, text_response

log = structlog.get_logger(__name__)

MAX_OPEN_FORMS = 5  # forms of one address that are read at the same time

START_PATH = "/"  # where a login leads that names no other path of this server


class LoginPage:
    def __init__(self, authenticator: Authenticator, assets: Assets) -> None:
        self._authenticator = authenticator
        self._assets = assets
        #: How many forms of each `client_network` are being read.
        self._open_forms: Counter[str] = Counter()

    async def show(self, request: Request) -> Response:
        """GET /login with `next`, the path to redirect to after the login."""
        context = context_of(request.scope)
        if not self._authenticator.requires_password:
            return self._render(context, notice=server_text(context.language, "no_password"))
        if context.is_allowed:
            to_page = tag("p", tag("a", server_text(context.language, "to_page"), href="./"))
            leave = tag("button", server_text(context.language, "log_out"))
            form = tag("form", leave, method="post", action="logout")
            notice = server_text(context.language, "logged_in")
            return self._render(context, join_html([to_page, form]), notice=notice)
        next_path = _local_path(request.query_params.get("next", ""))
        return self._render(context, _login_form(context, next_path))

    async def log_in(self, request: Request) -> Response:
        """POST /login with `password` and `next`.

        The form is read only from a client that may try, and from each address only few at the same time.
        """
        context = context_of(request.scope)
        if not self._authenticator.requires_password:
            return self._render(context, notice=server_text(context.language, "no_password"))
        address = context.client.address
        if wait_seconds := self._authenticator.login_wait(address):
            return self._render_wait(context, wait_seconds, START_PATH)  # `next` is in the form
        network = client_network(address)
        if self._open_forms[network] >= MAX_OPEN_FORMS:
            retry = {"retry-after": f"{FORM_TIMEOUT_SECONDS:.0f}"}
            return text_response(context, HTTPStatus.TOO_MANY_REQUESTS, "too_many_forms", retry)
        self._open_forms[network] += 1
        try:
            fields = await read_form(request)
        except BadForm as bad:
            return text_response(context, bad.status, bad.message_key)
        finally:
            self._open_forms[network] -= 1
            if not self._open_forms[network]:
                del self._open_forms[network]
        return self._check_password(context, fields.get("password", ""), _local_path(fields.get("next", "")))

    def _check_password(self, context: RequestContext, password: str, next_path: str) -> Response:
        result = self._authenticator.log_in(password, context.client.address)
        if result.decision is AuthDecision.ALLOWED:
            response: Response = RedirectResponse(f"{context.client.prefix}{next_path}", HTTPStatus.SEE_OTHER)
            set_cookie(response, context, SESSION_COOKIE, result.session_key, int(SESSION_SECONDS))
            return response
        if result.decision is AuthDecision.THROTTLED:
            return self._render_wait(context, result.wait_seconds, next_path)
        log.warning("wrong password for the page", address=context.client.address)
        notice = server_text(context.language, "wrong_password")
        form = _login_form(context, next_path)
        response = self._render(context, form, HTTPStatus.UNAUTHORIZED, notice=notice)
        response.headers.update(AUTHENTICATE_HEADERS)
        return response

    async def log_out(self, request: Request) -> Response:
        context = context_of(request.scope)
        self._authenticator.log_out(context.session_key)
        response = RedirectResponse(f"{context.client.prefix}{LOGIN_PATH}", HTTPStatus.SEE_OTHER)
        set_cookie(response, context, SESSION_COOKIE, "", 0)
        return response

    def _render_wait(self, context: RequestContext, wait_seconds: float, next_path: str) -> Response:
        seconds = math.ceil(wait_seconds)
        notice = server_text(context.language, "wait_first", seconds=seconds)
        form = _login_form(context, next_path)
        response = self._render(context, form, HTTPStatus.TOO_MANY_REQUESTS, notice=notice)
        response.headers["retry-after"] = f"{seconds}"
        return response

    def _render(
        self,
        context: RequestContext,
        content: Markup | None = None,
        status: int = HTTPStatus.OK,
        *,
        notice: str = "",
    ) -> Response:
        """Returns the page: `notice` is a sentence that is read out, `content` the form or links below it."""
        alert = tag("p", notice, role="alert", class_="notice") if notice else None
        main = tag("main", tag("h1", "wx2mqtt"), alert, content, class_="alone card")
        title = f"wx2mqtt · {server_text(context.language, 'title')}"
        document = html_document(tag("body", main), title, context.language, self._assets)
        return HTMLResponse(document, status, PAGE_HEADERS)


def _login_form(context: RequestContext, next_path: str) -> Markup:
    return tag(
        "form",
        tag("input", type="hidden", name="next", value=next_path),
        # Password managers store a password only together with a user name.
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


# A path with its query on this server. After a second slash at its begin there would be a host name.
_LOCAL_PATH = re.compile(r"/(?:[A-Za-z0-9_.~%=&?-][A-Za-z0-9_.~%=&?/-]{0,500})?", re.ASCII)


def _local_path(path: str) -> str:
    """Returns a path that leads to this server: a link to our login must not lead elsewhere."""
    return path if _LOCAL_PATH.fullmatch(path) else START_PATH
