"""The security middleware: checks that every request must pass, and headers that every response carries.

    GET /media/1    1. its size              431, 413
                    2. Host or Ingress       403
                    3. origin of a form      403
                    4. authentication        401, 429, or the way to /login
                    5. the database is there 503; before it, the prefix alone is led to its slash

`PATH_RULES` says what a path needs. An exception of an endpoint ends one request and is logged; it never
reaches the bridge.
"""

from __future__ import annotations

import math
from dataclasses import replace
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wx2mqtt.i18n import Language
from wx2mqtt.values import frozen
from wx2mqtt.web.allowed_hosts import AllowedHosts, parse_address
from wx2mqtt.web.auth import AuthDecision, Authenticator, AuthResult
from wx2mqtt.web.bridge_state import BridgeState
from wx2mqtt.web.http_limits import HEALTH_ONLY_KEY
from wx2mqtt.web.options import Serves, WebOptions
from wx2mqtt.web.request_context import (
    CONTEXT_KEY,
    LANGUAGE_COOKIE,
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    SESSION_COOKIE,
    RequestContext,
    client_info,
    has_ingress_path,
    preferred_language,
)
from wx2mqtt.web.responses import AUTHENTICATE_HEADERS, OUTAGE_HEADERS, text_response

log = structlog.get_logger(__name__)

LOGIN_PATH = "/login"
STATIC_PATH = "/static/"
LIVENESS_PATH = "/livez"
HEALTH_PATH = "/healthz"
METRICS_PATH = "/metrics"
MEDIA_PATH = "/media/"
SENDER_PATHS = ("/send/", "/gotify/", "/ntfy", "/wecom/", "/hook/")


@frozen
class PathRule:
    """Who may have a path, and when. The defaults are the strictest rule.

    A path that ends in `*` stands for all paths that begin so.
    """

    path: str
    #: Everybody may have it; else it needs the session of a browser.
    is_public: bool = False
    #: The bearer token opens it as well, for GET and HEAD.
    takes_token: bool = False
    #: It is served while the database is away.
    needs_no_account: bool = False
    #: Programs send commands to it. Its endpoint checks their tokens, and the sizes of their bodies.
    is_for_senders: bool = False
    #: It is served on a reserved connection, and to the Supervisor of Home Assistant without a person behind
    #: it.
    is_health: bool = False


# A path without a row has the strictest rule.
PATH_RULES = (
    PathRule(path=LIVENESS_PATH, is_public=True, needs_no_account=True, is_health=True),
    PathRule(path=HEALTH_PATH, is_public=True, takes_token=True, needs_no_account=True, is_health=True),
    PathRule(path=METRICS_PATH, takes_token=True, needs_no_account=True),
    PathRule(path=f"{MEDIA_PATH}*", takes_token=True),
    PathRule(path=f"{STATIC_PATH}*", is_public=True, needs_no_account=True),
    PathRule(path=LOGIN_PATH, is_public=True, needs_no_account=True),
    *(
        PathRule(path=f"{path}*", is_public=True, needs_no_account=True, is_for_senders=True)
        for path in SENDER_PATHS
    ),
    PathRule(path="/logout", needs_no_account=True),
    PathRule(path="/language", needs_no_account=True),
    # The page itself says that the database is away.
    PathRule(path="/", needs_no_account=True),
    PathRule(path="/events", needs_no_account=True),
)


def rule_of(path: str) -> PathRule:
    """Returns the rule of a path; the strictest one where there is none."""
    for rule in PATH_RULES:
        if rule.path == path or (rule.path.endswith("*") and path.startswith(rule.path[:-1])):
            return rule
    return PathRule(path=path)


RETRY_AFTER_SECONDS = 5  # after which a client on a reserved connection may try again

_READING_METHODS = frozenset({"GET", "HEAD"})
_SAFE_METHODS = _READING_METHODS | {"OPTIONS"}  # RFC 9110, 9.2.1: they change nothing here

_HEADER_OVERHEAD_BYTES = 4  # ": " and the line break
_MAX_LENGTH_DIGITS = 12  # of a Content-Length

_DEFAULT_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


class SecurityMiddleware:
    """The outermost ASGI application. `app` gets the requests that pass, their paths without our prefix."""

    def __init__(
        self, app: ASGIApp, options: WebOptions, authenticator: Authenticator, bridge: BridgeState
    ) -> None:
        self._app = app
        self._bridge = bridge
        self._options = options
        self.default_language = options.language  # a reload can change it
        self._hosts = AllowedHosts(options)
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        response_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal response_started
            if message["type"] == "http.response.start":
                response_started = True
                headers = MutableHeaders(scope=message)
                for name, value in _DEFAULT_HEADERS.items():
                    headers.setdefault(name, value)
                headers["date"] = formatdate(usegmt=True)
            await send(message)

        try:
            await self._handle(scope, receive, send_with_headers)
        except Exception:  # a defect of the bridge ends this request only
            log.exception("request failed", path=scope["path"])
            if response_started:
                raise  # uvicorn closes the connection, so that the client sees an incomplete response
            response = text_response(
                self._request_context(scope), HTTPStatus.INTERNAL_SERVER_ERROR, "internal"
            )
            await response(scope, receive, send_with_headers)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands a request that passes every check to the endpoints; the first check that fails answers."""
        context = self._request_context(scope)
        path = self._path_without_prefix(scope["path"], context)
        inner_scope = {**scope, "path": path, "root_path": ""}
        rule = self._rule_of(path)
        refusal = self._check_request(inner_scope, context, rule)
        if refusal is None:
            auth_result = self._authenticator.authenticate(
                session_key=context.session_key,
                token=_bearer_token(inner_scope, rule),
                address=context.client.address,
            )
            context = replace(context, is_allowed=auth_result.decision is AuthDecision.ALLOWED)
            refusal = _check_access(inner_scope, context, auth_result, rule)
        if refusal is None:
            refusal = self._check_served(scope, context, path, rule)
        inner_scope[CONTEXT_KEY] = context
        app = self._app if refusal is None else refusal
        await app(inner_scope, receive, send)

    def _rule_of(self, path: str) -> PathRule:
        """Returns the rule of a path on this address; where only senders are served, all paths are theirs."""
        if self._options.serves in {Serves.SENDERS, Serves.ROOT_SENDERS}:
            return PathRule(path=path, is_public=True, needs_no_account=True, is_for_senders=True)
        return rule_of(path)

    def _request_context(self, scope: Scope) -> RequestContext:
        headers = Headers(scope=scope)
        peer = scope.get("client")
        return RequestContext(
            client=client_info(peer[0] if peer else "", headers, self._options),
            language=self._language(headers),
            session_key=_cookie(headers, SESSION_COOKIE),
        )

    def _language(self, headers: Headers) -> Language:
        """Returns the language that the person chose on the page, else the one that the browser asks for."""
        match _cookie(headers, LANGUAGE_COOKIE):
            case "en":
                return "en"
            case "zh":
                return "zh"
            case _:
                return preferred_language(headers.get("accept-language", ""), self.default_language)

    def _path_without_prefix(self, path: str, context: RequestContext) -> str:
        """Removes the prefix, which some reverse proxies remove and others do not."""
        for prefix in (context.client.prefix, self._options.prefix):
            if prefix and (path == prefix or path.startswith(f"{prefix}/")):
                return path[len(prefix) :]
        return path

    def _check_request(self, scope: Scope, context: RequestContext, rule: PathRule) -> Response | None:
        """Returns the refusal of a request that is refused whoever sent it: checks 1 to 3."""
        headers = Headers(scope=scope)
        if scope.get("state", {}).get(HEALTH_ONLY_KEY) and not rule.is_health:
            retry = {"retry-after": f"{RETRY_AFTER_SECONDS}", "connection": "close"}
            return text_response(context, HTTPStatus.SERVICE_UNAVAILABLE, "too_many_connections", retry)
        # `HttpConnection` refuses a head that is far larger.
        head_bytes = len(scope["raw_path"]) + len(scope["query_string"])
        head_bytes += sum(len(name) + len(value) + _HEADER_OVERHEAD_BYTES for name, value in scope["headers"])
        if head_bytes > MAX_HEAD_BYTES:
            return text_response(context, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")
        length = headers.get("content-length", "0")
        is_number = length.isdecimal() and len(length) <= _MAX_LENGTH_DIGITS
        if not is_number or (int(length) > MAX_BODY_BYTES and not rule.is_for_senders):
            return text_response(context, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large")
        if message_key := self._foreign_source(scope, headers, rule):
            return text_response(context, HTTPStatus.FORBIDDEN, message_key)
        return None

    def _foreign_source(self, scope: Scope, headers: Headers, rule: PathRule) -> str:
        """Returns the message key of a request from another site or client; else an empty text."""
        if self._options.ingress:
            if not self._is_from_ingress(scope, headers, rule):
                return "only_ingress"
        elif not self._hosts.is_allowed(headers.get("host", "")):
            return "foreign_host"
        is_safe = scope["method"] in _SAFE_METHODS and not rule.is_for_senders
        if not is_safe and not self._is_same_origin(headers):
            return "foreign_origin"
        return ""

    def _is_from_ingress(self, scope: Scope, headers: Headers, rule: PathRule) -> bool:
        """Returns whether the Supervisor passes on the request of a person, or asks for the health itself.

        The Host header is the one of the browser, any name of Home Assistant. A page that borrows such a name
        (DNS rebinding) has no session of Home Assistant, so that the Supervisor refuses its requests.
        """
        peer = scope.get("client")
        if not peer or parse_address(peer[0]) != parse_address(self._options.ingress):
            return False
        return has_ingress_path(headers) or rule.is_health

    def _is_same_origin(self, headers: Headers) -> bool:
        """Returns False if a page of another site sent the request.

        A request without these headers comes from a program, which has no session of a person to abuse.
        """
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site in {"same-origin", "none"}
        origin = headers.get("origin")
        return origin is None or self._hosts.is_same_origin(origin, headers.get("host", ""))

    def _check_served(
        self, scope: Scope, context: RequestContext, path: str, rule: PathRule
    ) -> Response | None:
        """Returns the answer where there is nothing to show at this path, or at this time: check 5."""
        is_prefix_alone = not path and not rule.is_for_senders
        if is_prefix_alone:  # relative addresses in the page need a slash at its end
            with_slash = f"{scope['path']}/{_query_suffix(scope)}"
            return RedirectResponse(with_slash, HTTPStatus.TEMPORARY_REDIRECT)
        if self._bridge.outage() is not None and not rule.needs_no_account:
            return text_response(context, HTTPStatus.SERVICE_UNAVAILABLE, "database_away", OUTAGE_HEADERS)
        return None


def _check_access(
    scope: Scope, context: RequestContext, auth_result: AuthResult, rule: PathRule
) -> Response | None:
    """Returns the refusal of a client that may not have this path: check 4."""
    if context.is_allowed:
        return None
    match auth_result.decision:
        case AuthDecision.THROTTLED:
            seconds = math.ceil(auth_result.wait_seconds)
            headers = {"retry-after": str(seconds)}
            return text_response(context, HTTPStatus.TOO_MANY_REQUESTS, "too_often", headers, seconds=seconds)
        case AuthDecision.WRONG_SECRET:
            return text_response(context, HTTPStatus.UNAUTHORIZED, "wrong_token", AUTHENTICATE_HEADERS)
        case _:
            return None if rule.is_public else _login_required(scope, context)


def _login_required(scope: Scope, context: RequestContext) -> Response:
    """Redirects a person who opens the address in a browser to the login, and refuses everybody else."""
    headers = Headers(scope=scope)
    is_navigation = headers.get("sec-fetch-mode") == "navigate"
    if "sec-fetch-mode" not in headers:  # an old browser
        is_navigation = "text/html" in headers.get("accept", "")
    if scope["method"] != "GET" or not is_navigation:
        return text_response(context, HTTPStatus.UNAUTHORIZED, "log_in_first", AUTHENTICATE_HEADERS)
    next_path = quote(scope["path"] + _query_suffix(scope), safe="/")
    return RedirectResponse(f"{context.client.prefix}{LOGIN_PATH}?next={next_path}", HTTPStatus.SEE_OTHER)


def _query_suffix(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    return f"?{query}" if query else ""


def _bearer_token(scope: Scope, rule: PathRule) -> str | None:
    """Returns the token of the Authorization header; None without one, or where tokens are not accepted."""
    if scope["method"] not in _READING_METHODS or not rule.takes_token:
        return None
    scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _cookie(headers: Headers, cookie_name: str) -> str:
    """Returns the value of a cookie, or empty. Of several with this name the first has the longest path."""
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == cookie_name:
            return value
    return ""
