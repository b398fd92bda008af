"""Validates calls of bots; wrong calls are refused and recorded (ilink 2).

An *oddity* is wrong but tolerated by the servers, because public clients depend on it. It passes, and counts
as a violation only in strict mode.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass

from wx2mqtt.simulator.hosts import host_name
from wx2mqtt.simulator.http_messages import Request, SimulatedAnswer
from wx2mqtt.simulator.ilink import answers, hosts
from wx2mqtt.simulator.ilink.answers import Refusal
from wx2mqtt.simulator.ilink.bot import Bot
from wx2mqtt.simulator.ilink.simulated_ilink import SimulatedILink

Fields = dict[str, object]

_NAME = r"[A-Za-z0-9_.-]{1,32}"
_AGENT = re.compile(rf"{_NAME}/[A-Za-z0-9_.+-]{{1,32}}( \([ -'*-~]{{1,64}}\))?")
_AGENTS = re.compile(rf"({_AGENT.pattern})( {_AGENT.pattern})*")
_OPENCLAW = "OpenClaw"
"""The official default, which has no version (ilink 2.2.3)."""


@dataclass(slots=True)
class Call:
    """One call of a program: the request, and the simulated iLink that judges it."""

    endpoint: str
    request: Request
    ilink: SimulatedILink

    def record_violation(self, problem: str) -> None:
        self.ilink.violations.record(self.endpoint, problem)

    def record_oddity(self, problem: str) -> None:
        """In strict mode, records a mistake that the servers tolerate."""
        if self.ilink.shared_settings.strict:
            self.record_violation(f"tolerated, but: {problem}")

    def refusal(self, answer: SimulatedAnswer, problem: str) -> Refusal:
        """Records that this call is wrong and returns the exception to raise."""
        self.record_violation(problem)
        return Refusal(answer)

    def invalid_argument(self, problem: str) -> Refusal:
        """Records that an argument is wrong and returns the exception to raise."""
        return self.refusal(answers.json(ret=-2, errmsg="invalid arguments"), problem)


def session_timeout(call: Call) -> SimulatedAnswer:
    """Returns the answer for a revoked token."""
    return answers.session_timeout(call.ilink.settings.stale_in)


def require_method(call: Call, *allowed: str) -> None:
    actual = call.request.method
    if actual not in allowed:
        raise call.refusal(answers.html_page(404), f"{actual} instead of {allowed[0]}")


def require_host(call: Call, *, cdn: bool = False) -> None:
    """Requires a host that serves this call; a name that is not Tencent's serves every call."""
    name = host_name(call.request.host)
    if not hosts.serves(name, cdn=cdn, redirect=call.ilink.settings.redirect_host):
        raise call.refusal(answers.html_page(404), f"{name} does not serve this")


def require_cdn(call: Call) -> None:
    """Requires the CDN host, without headers that are meant for the API only."""
    require_host(call, cdn=True)
    for header in ("authorization", "authorizationtype", "x-wechat-uin", "cookie"):
        if header in call.request.headers:
            call.record_violation(f"the header {header} goes to the CDN")


def app_header_problems(call: Call) -> list[str]:
    """Returns what is wrong with the two iLink-App headers."""
    headers = call.request.headers
    problems = []
    if headers.get("ilink-app-id") != "bot":
        problems.append("iLink-App-Id is not bot")
    if not re.fullmatch("[0-9]{1,9}", headers.get("ilink-app-clientversion", "")):
        problems.append("iLink-App-ClientVersion is no decimal number")
    return problems


def posted_json(call: Call) -> Fields:
    """Returns the JSON object of a POST after checking the headers that every POST has."""
    headers = call.request.headers
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise call.invalid_argument("Content-Type is not application/json")
    if headers.get("authorizationtype") != "ilink_bot_token":
        raise call.invalid_argument("AuthorizationType is not ilink_bot_token")
    if parse_uin(headers.get("x-wechat-uin", "")) is None:
        raise call.invalid_argument("X-WECHAT-UIN is not the base64 of the digits of a number below 2^32")
    return json_body(call)


def parse_uin(text: str) -> int | None:
    """Returns the number in an X-WECHAT-UIN; None when it is malformed."""
    try:
        digits = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if not re.fullmatch(b"0|[1-9][0-9]{0,9}", digits) or int(digits) >= 2**32:
        return None
    return int(digits)


def json_body(call: Call) -> Fields:
    try:
        value = json.loads(call.request.body)
    except (ValueError, RecursionError):
        raise call.invalid_argument("the body is no JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise call.invalid_argument("the body is no JSON object")
    return value


def authenticated(call: Call) -> tuple[Bot, Fields]:
    """Returns the active bot and the JSON body of a call that needs a token, after all checks."""
    require_method(call, "POST")
    require_host(call)
    for problem in app_header_problems(call):
        raise call.refusal(session_timeout(call), problem)
    bot = _bot_of_token(call)
    fields = posted_json(call)
    _check_new_uin(call, bot)
    require_base_info(call, fields)
    return bot, fields


def _bot_of_token(call: Call) -> Bot:
    kind, _, token = call.request.headers.get("authorization", "").partition(" ")
    if kind != "Bearer" or not token:
        raise call.refusal(session_timeout(call), "Authorization is not Bearer and a token")
    bot = call.ilink.bots.get(token)
    if bot is None or not bot.alive:
        raise Refusal(session_timeout(call))
    return bot


def _check_new_uin(call: Call, bot: Bot) -> None:
    current = call.request.headers["x-wechat-uin"]
    if current == bot.last_uin:
        call.record_oddity("X-WECHAT-UIN is that of the call before")
    bot.last_uin = current


def require_base_info(call: Call, fields: Fields) -> None:
    """Checks how the program identifies itself (ilink 2.2)."""
    info = fields.get("base_info")
    if not isinstance(info, dict):
        raise call.invalid_argument("base_info is missing")
    version = info.get("channel_version")
    agent = info.get("bot_agent")
    if not isinstance(version, str) or not version:
        raise call.invalid_argument("base_info.channel_version is missing")
    if client_version(version) != call.request.headers.get("ilink-app-clientversion"):
        call.record_oddity("iLink-App-ClientVersion is not that of base_info.channel_version")
    if agent is None:
        call.record_oddity("no base_info.bot_agent")
    elif not isinstance(agent, str) or not is_bot_agent(agent):
        call.record_violation("base_info.bot_agent is not Name/Version (comment)")
    for name in sorted(info.keys() - {"channel_version", "bot_agent"}):
        call.record_oddity(f"base_info.{name} is not known")


def client_version(version: str) -> str:
    """Returns the iLink-App-ClientVersion of a version; empty when it is malformed."""
    match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)([-+.].*)?", version)
    if match is None:
        return ""
    major, minor, patch = (int(match[group]) & 0xFF for group in (1, 2, 3))
    return str(major << 16 | minor << 8 | patch)


def is_bot_agent(text: str) -> bool:
    """Returns whether the text has the form of a bot_agent."""
    return text == _OPENCLAW or (len(text.encode()) <= 256 and _AGENTS.fullmatch(text) is not None)


def require_person(call: Call, bot: Bot, value: object) -> None:
    """Requires the person who bound this bot: it reaches nobody else (ilink 9.3)."""
    if value != bot.user_id:
        raise call.invalid_argument("that person is not the one who bound this bot")
