"""Making a bot by one scan with the WeCom app, as Tencent's own command line does (wecom 3).

1. `generate_url` gives the address that is drawn as a QR code, and the `scode` that names the attempt.
2. `query_url` is asked every three seconds, until the bot's credentials come or the code has expired.

Both the `scode` and the credentials are secrets.
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum, auto
from urllib.parse import quote, urlsplit

from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import JsonObject, read_object, read_text
from wx2mqtt.wechat.wecom.protocol.session import BotCredentials

# The value of `plat` for Linux.
LINUX = 3

# The pause between two queries of a code.
POLL_SECONDS = 3.0

# A code is queried for so long. WeCom does not say how long it is good; clients wait three to five minutes.
CODE_SECONDS = 300.0

MAX_URL_CHARACTERS = 2048


class ScanState(StrEnum):
    """What the last query said."""

    WAITING = auto()
    SCANNED = auto()
    CONFIRMED = auto()
    EXPIRED = auto()
    FAILED = auto()


# The state by the `status` of an answer, in lower case.
_STATES: dict[str, ScanState] = {
    "success": ScanState.CONFIRMED,
    "scaned": ScanState.SCANNED,
    "scanned": ScanState.SCANNED,
    "expired": ScanState.EXPIRED,
    "timeout": ScanState.EXPIRED,
    "failed": ScanState.FAILED,
    "error": ScanState.FAILED,
}


@frozen
class ScanCode:
    """A code to scan: `url` is drawn, `scode` asks for its state."""

    url: str = field(repr=False)
    scode: str = field(repr=False)


@frozen
class ScanAnswer:
    """The state of a code, and the bot's credentials once it is `CONFIRMED`."""

    state: ScanState
    credentials: BotCredentials | None = None


def generate_url(base: str, source: str) -> str:
    return f"{base}/ai/qc/generate?source={quote(source, safe='')}&plat={LINUX}"


def query_url(base: str, scode: str) -> str:
    return f"{base}/ai/qc/query_result?scode={quote(scode, safe='')}"


def read_scan_code(answer: JsonObject) -> ScanCode | None:
    """Reads the answer to `generate_url`; returns None where it has no code."""
    data = read_object(answer, "data")
    scode, url = read_text(data, "scode"), read_text(data, "auth_url")
    return ScanCode(url=url, scode=scode) if scode and _is_address(url) else None


def _is_address(url: str) -> bool:
    """Returns whether a phone can open what is drawn; `urlsplit` ignores line breaks."""
    if len(url) > MAX_URL_CHARACTERS or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False


def read_scan(answer: JsonObject) -> ScanAnswer:
    """Reads the answer to `query_url`.

    Only `success` is Tencent's own word; the others were seen by clients, so one that is not known means that
    nobody has scanned yet. A success without credentials has failed.
    """
    data = read_object(answer, "data")
    state = _STATES.get(read_text(data, "status").strip().lower(), ScanState.WAITING)
    if state is not ScanState.CONFIRMED:
        return ScanAnswer(state=state)
    bot = read_object(data, "bot_info")
    bot_id, secret = read_text(bot, "botid"), read_text(bot, "secret")
    if not (bot_id and secret):
        return ScanAnswer(state=ScanState.FAILED)
    return ScanAnswer(state=state, credentials=BotCredentials(bot_id=bot_id, secret=secret))
