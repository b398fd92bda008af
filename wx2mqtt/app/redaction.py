"""No secret and no line break of somebody else gets into a log: the table, and what it does to a value.

Two nets, since neither is enough alone: keys whose value is never shown, and patterns of secrets inside
any text (a URL in an exception, say). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

REDACTED = "***"
MAX_TEXT_CHARACTERS = 4000
MAX_TRACEBACK_CHARACTERS = 20_000
MAX_DEPTH = 5

SECRET_KEYS = frozenset(
    {
        # web WeChat's login (webwx 2.4.3.5, 2.6.2)
        *("skey", "sid", "uin", "wxsid", "wxuin", "passticket", "ticket", "uuid", "synckey", "extspam"),
        *("webwxdataticket", "webwxauthticket", "webwxuvid", "deviceid"),
        # iLink
        *("bottoken", "contexttoken", "aeskey", "getupdatesbuf", "localtokenlist", "verifycode"),
        *("fullurl", "uploadfullurl", "uploadparam", "encryptqueryparam", "xencryptedparam", "filekey"),
        *("qrcodeimgcontent", "locator"),
        # the QR code's content
        *("qr", "qrcode", "qrurl", "loginurl"),
        # HTTP, MQTT, everybody
        *("cookie", "cookies", "setcookie", "authorization", "password", "passwd", "token", "secret"),
        *("credentials", "session", "apikey", "privatekey"),
    }
)
"""Keys whose value is never shown, in small letters without `-` and `_`."""

_SECRET_ENDINGS = ("password", "token", "ticket", "secret", "cookie", "cookies", "skey")

TEXT_KEYS = frozenset({"text", "content", "body", "payload", "quote", "digest"})
"""Keys that hold what people write to each other; shown only with `log.message_text`."""

_NAMES = (
    r"(?<![a-z])(skey|sid|uin|wxsid|wxuin|pass_?ticket|webwx_data_ticket|webwx_auth_ticket|webwxuvid|ticket|uuid"
    r"|extspam|deviceid|bot_?token|context_?token|access_?token|token|aes_?key|password|passwd|secret|api_?key"
    r"|encrypt(?:ed)?_query_param|upload_param|filekey|taskid|get_updates_buf|verify_?code|qrcode|full_?url)"
)
_VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s\"'&;,<>)}\]]+)"

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?:@|%40)crypt_[\w%]+"), REDACTED),
    (re.compile(r"[\w%.+/=-]+(?:@|%40)qrticket_\d+"), REDACTED),
    (re.compile(rf"<{_NAMES}>[^<]*<", re.IGNORECASE), rf"<\1>{REDACTED}<"),
    # name=value, name:value, "name": value; but not the words after `mqtt.password: ` in a sentence
    (re.compile(rf"{_NAMES}([\"']?\s*=\s*|[\"']\s*:\s*|:){_VALUE}", re.IGNORECASE), rf"\1\2{REDACTED}"),
    (re.compile(r"\b((?:set-)?cookie|authorization)\s*:\s*.*", re.IGNORECASE), rf"\1: {REDACTED}"),
    (re.compile(r"(/l/|/qrcode/)[\w=-]{6,}", re.ASCII), rf"\1{REDACTED}"),
    (re.compile(r"(@im\.bot:)[\w+/=.~-]+", re.ASCII), rf"\1{REDACTED}"),
    (re.compile(r"(/c2c/(?:down|up)load)\?[^\s\"'<>]+"), rf"\1?{REDACTED}"),
    (re.compile(r"(\bliteapp\.weixin\.qq\.com/q/)[^\s\"'<>]+"), rf"\1{REDACTED}"),
    (re.compile(r"://[^\s/@]+@"), f"://{REDACTED}@"),
    (re.compile(r"\b(Bearer|Basic)\s+[\w+/=.~-]{4,}", re.IGNORECASE), rf"\1 {REDACTED}"),
)

_RUN = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}", re.ASCII)
_MIXED = re.compile(r"(?=.*[0-9])(?=.*[A-Z])(?=.*[a-z]).{40,}", re.ASCII)


def redact(text: str) -> str:
    """The same text without what looks like a secret."""
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return _RUN.sub(_hide_if_mixed, text)


def redact_value(key: str, value: object, *, message_text: bool, depth: int = 0) -> object:
    """The value as a log may hold it: plain, bounded, without secrets and, unless allowed, messages."""
    if value is None or value == "" or isinstance(value, bool):
        return value
    if _is_secret(key):
        return REDACTED
    if key.lower() in TEXT_KEYS and not message_text:
        return f"<{len(value)} long>" if isinstance(value, (str, bytes)) else "<hidden>"
    if isinstance(value, (int, float)):
        return value
    return _clean_below(value, message_text=message_text, depth=depth + 1)


def _clean_below(value: object, *, message_text: bool, depth: int) -> object:
    if depth > MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        pairs = list(value.items())
        return {
            str(name): redact_value(str(name), one, message_text=message_text, depth=depth)
            for name, one in pairs
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact_value("", one, message_text=message_text, depth=depth) for one in value]
    return redact(_cut(_text(value)))


def clean_traceback(text: str) -> str:
    """A traceback without secrets; of a long one its end, where the reason stands."""
    lines = text[-MAX_TRACEBACK_CHARACTERS:].splitlines()
    return "\n".join(redact(_cut(line)) for line in lines)


def one_line(text: str) -> str:
    """The same text with everything escaped that could end a line or move a terminal's cursor."""
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(mark: str) -> str:
    return mark if mark.isprintable() else mark.encode("unicode_escape").decode("ascii")


def _text(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    return str(value)


def _cut(text: str) -> str:
    return (
        text
        if len(text) <= MAX_TEXT_CHARACTERS
        else f"{text[:MAX_TEXT_CHARACTERS]}… ({len(text)} characters)"
    )


def _is_secret(key: str) -> bool:
    plain = key.lower().replace("-", "").replace("_", "")
    return plain in SECRET_KEYS or plain.endswith(_SECRET_ENDINGS)


def _hide_if_mixed(run: re.Match[str]) -> str:
    """Base64 mixes cases and digits over a long stretch; a path or a hash in hex does not."""
    return REDACTED if any(_MIXED.match(part) for part in run[0].split("/")) else run[0]
