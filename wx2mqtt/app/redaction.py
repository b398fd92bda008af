"""Removes secrets from what is logged.

    redact_value("skey", "abc")            ***, for the key: the value of a secret's name is never shown
    redact_value("url", "/x?skey=abc")     /x?skey=***, for the text: it has the pattern of a secret

Neither is enough alone. Sizes are limited, too; line breaks are left to `logs.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

REDACTED = "***"
MAX_TEXT_CHARACTERS = 4000
MAX_TRACEBACK_CHARACTERS = 20_000
MAX_TRACEBACK_LINES = 500
MAX_DEPTH = 5

# Keys whose value is never shown, in lower case without `-` and `_`.
SECRET_KEYS = frozenset(
    {
        # web WeChat's login (webwx 2.4.3.5, 2.6.2)
        *("skey", "sid", "uin", "wxsid", "wxuin", "passticket", "ticket", "uuid", "synckey", "extspam"),
        *("webwxdataticket", "webwxauthticket", "webwxuvid", "deviceid"),
        # iLink
        *("bottoken", "contexttoken", "aeskey", "getupdatesbuf", "localtokenlist", "verifycode"),
        *("fullurl", "uploadfullurl", "uploadparam", "encryptqueryparam", "xencryptedparam", "filekey"),
        *("qrcodeimgcontent", "locator"),
        # WeCom
        *("scode", "authurl"),
        # the QR code's content
        *("qr", "qrcode", "qrurl", "loginurl"),
        # HTTP, MQTT, everybody
        *("cookie", "cookies", "setcookie", "authorization", "password", "passwd", "token", "secret"),
        *("credentials", "session", "apikey", "privatekey"),
    }
)
_SECRET_ENDINGS = ("password", "token", "ticket", "secret", "cookie", "cookies", "skey")

# Keys that hold the texts of messages; shown only with `log.message_text`.
TEXT_KEYS = frozenset({"text", "content", "body", "payload", "quote", "digest"})


def redact_value(key: str, value: object, *, message_text: bool, depth: int = 0) -> object:
    """Returns a value of plain types and limited size, without secrets; texts only with `message_text`."""
    if value is None or value == "" or isinstance(value, bool):
        return value
    if _is_secret(key):
        return REDACTED
    if key.lower() in TEXT_KEYS and not message_text:
        return f"<{len(value)} long>" if isinstance(value, (str, bytes)) else "<hidden>"
    if isinstance(value, (int, float)):
        return value
    return _redact_content(value, message_text=message_text, depth=depth + 1)


def _is_secret(key: str) -> bool:
    normalized = key.lower().replace("-", "").replace("_", "")
    return normalized in SECRET_KEYS or normalized.endswith(_SECRET_ENDINGS)


def _redact_content(value: object, *, message_text: bool, depth: int) -> object:
    if depth > MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {
            str(key): redact_value(str(key), element, message_text=message_text, depth=depth)
            for key, element in list(value.items())
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact_value("", element, message_text=message_text, depth=depth) for element in value]
    return redact(_truncate(_text(value)))


def clean_traceback(text: str) -> str:
    """Returns a traceback without secrets; of a long one only the end, which contains the reason."""
    lines = text[-MAX_TRACEBACK_CHARACTERS:].splitlines()[-MAX_TRACEBACK_LINES:]
    return "\n".join(redact(_truncate(line)) for line in lines)


def _text(value: object) -> str:
    match value:
        case Enum():
            return str(value.value)
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
        case BaseException():
            return f"{type(value).__name__}: {value}"
    return str(value)


def _truncate(text: str) -> str:
    if len(text) <= MAX_TEXT_CHARACTERS:
        return text
    return f"{text[:MAX_TEXT_CHARACTERS]}… ({len(text)} characters)"


# Patterns of secrets inside a text

_NAME_PATTERN = (
    r"(?<![a-z])(skey|sid|uin|wxsid|wxuin|pass_?ticket|webwx_data_ticket|webwx_auth_ticket|webwxuvid|ticket|uuid"
    r"|extspam|deviceid|bot_?token|context_?token|access_?token|token|aes_?key|password|passwd|secret|api_?key"
    r"|scode|encrypt(?:ed)?_query_param|upload_param|filekey|taskid|get_updates_buf|verify_?code|qrcode|full_?url)"
)
_VALUE_PATTERN = r"(?:\"[^\"]*\"|'[^']*'|[^\s\"'&;,<>)}\]]+)"

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?:@|%40)crypt_[\w%]+"), REDACTED),
    (re.compile(rf"<{_NAME_PATTERN}>[^<]*<", re.IGNORECASE), rf"<\1>{REDACTED}<"),
    # name=value, name:value, "name": value; but not the words after `mqtt.password: ` in a sentence
    (
        re.compile(rf"{_NAME_PATTERN}([\"']?\s*=\s*|[\"']\s*:\s*|:){_VALUE_PATTERN}", re.IGNORECASE),
        rf"\1\2{REDACTED}",
    ),
    (re.compile(r"\b((?:set-)?cookie|authorization)\s*:\s*.*", re.IGNORECASE), rf"\1: {REDACTED}"),
    (re.compile(r"(/l/|/qrcode/)[\w=-]{6,}", re.ASCII), rf"\1{REDACTED}"),
    (re.compile(r"(@im\.bot:)[\w+/=.~-]+", re.ASCII), rf"\1{REDACTED}"),
    (re.compile(r"(/c2c/(?:down|up)load)\?[^\s\"'<>]+"), rf"\1?{REDACTED}"),
    (re.compile(r"(\bliteapp\.weixin\.qq\.com/q/)[^\s\"'<>]+"), rf"\1{REDACTED}"),
    (re.compile(r"(\bwork\.weixin\.qq\.com/ai/qc/c\?)[^\s\"'<>]+"), rf"\1{REDACTED}"),
    (re.compile(r"://[^\s/@]+@"), f"://{REDACTED}@"),
    (re.compile(r"\b(Bearer|Basic)\s+[\w+/=.~-]{4,}", re.IGNORECASE), rf"\1 {REDACTED}"),
)

# The ticket of a QR code is what stands before this: letters, digits and some other characters.
_TICKET_END = re.compile(r"(?:@|%40)qrticket_\d+")
_TICKET_SIGNS = "_%.+/=-"

# A long text in base64, which may be a secret.
_LONG_RUN = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}", re.ASCII)
_MIXED = re.compile(r"(?=.*[0-9])(?=.*[A-Z])(?=.*[a-z]).{40,}", re.ASCII)


def redact(text: str) -> str:
    """Replaces everything in a text that looks like a secret."""
    text = _redact_tickets(text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return _LONG_RUN.sub(_hide_if_mixed, text)


def _redact_tickets(text: str) -> str:
    """Replaces the tickets of QR codes. A pattern of a whole one would be tried from each character."""
    parts: list[str] = []
    end = 0
    for match in _TICKET_END.finditer(text):
        begin = match.start()
        while begin > end and (text[begin - 1].isalnum() or text[begin - 1] in _TICKET_SIGNS):
            begin -= 1
        if begin < match.start():
            parts += [text[end:begin], REDACTED]
            end = match.end()
    return "".join([*parts, text[end:]])


def _hide_if_mixed(run: re.Match[str]) -> str:
    """Hides base64, which mixes cases and digits over a long text; keeps paths and hashes in hex."""
    return REDACTED if any(_MIXED.match(part) for part in run[0].split("/")) else run[0]
