"""Removes secrets from what is logged.

    redact_value("skey", "abc")            ***            the key is the name of a secret
    redact_value("url", "/x?skey=abc")     /x?skey=***    the text has the pattern of a secret

Neither check is enough alone. The size of a value is limited, too. Line breaks are left to `logs.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

REDACTED = "***"
MAX_TEXT_CHARACTERS = 4000
MAX_TRACEBACK_CHARACTERS = 20_000
MAX_TRACEBACK_LINES = 500
MAX_DEPTH = 5  # of values within values

# Keys that hold the texts of messages; shown only with `log.message_text`.
TEXT_KEYS = frozenset({"text", "content", "body", "payload", "quote", "digest"})

# Keys of a log line that hold the id of a command, which its sender chooses to find the result.
COMMAND_ID_KEYS = frozenset({"id", "command"})


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
    if depth == 0 and key in COMMAND_ID_KEYS and isinstance(value, str):
        return _redact_patterns(_truncate(value))  # also a long one in base64: its result has the same id
    return _redact_content(value, message_text=message_text, depth=depth + 1)


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


# --- secrets by their names ---

# Names of secrets, as the key of a value and within a text. Instead of `_` there may be `-` or nothing:
# `pass_ticket` is also the name PassTicket.
_SECRET_NAMES = (
    # web WeChat's login (webwx 2.4.3.5, 2.6.2)
    *("skey", "sid", "uin", "wxsid", "wxuin", "pass_ticket", "ticket", "uuid", "sync_key", "extspam"),
    *("webwx_data_ticket", "webwx_auth_ticket", "webwxuvid", "device_id"),
    # iLink
    *("bot_token", "context_token", "aes_key", "get_updates_buf", "local_token_list", "verify_code"),
    *("full_url", "upload_full_url", "upload_param", "encrypt_query_param", "encrypted_query_param"),
    *("x_encrypted_param", "file_key", "task_id", "qrcode_img_content"),
    # WeCom
    *("scode", "auth_url"),
    # the content of a QR code
    *("qrcode", "qr_url", "login_url"),
    # HTTP, MQTT and everything else
    *("password", "passwd", "token", "access_token", "secret", "api_key", "private_key"),
)

# Names of secrets that are ordinary words within a text, such as "session".
_SECRET_WORDS = (
    *("cookie", "cookies", "set_cookie", "authorization", "credentials", "session"),
    *("qr", "locator"),
)

# The names in lower case, without `_` and `-`.
SECRET_KEYS = frozenset(name.replace("_", "") for name in (*_SECRET_NAMES, *_SECRET_WORDS))
_SECRET_ENDINGS = ("password", "token", "ticket", "secret", "cookie", "cookies", "skey")


def _is_secret(key: str) -> bool:
    normalized = key.lower().replace("-", "").replace("_", "")
    return normalized in SECRET_KEYS or normalized.endswith(_SECRET_ENDINGS)


# --- secrets within a text ---

_ANY_NAME = rf"(?<![a-z])({'|'.join(_SECRET_NAMES).replace('_', '[_-]?')})"
_ANY_VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s\"'&;,<>)}\]]+)"

# Each pattern with what takes its place; above it a text that it finds.
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # the key of a session of web WeChat: @crypt_1a2b_3c4d
    (re.compile(r"(?:@|%40)crypt_[\w%]+"), REDACTED),
    # <skey>abc</skey>
    (re.compile(rf"<{_ANY_NAME}>[^<]*<", re.IGNORECASE), rf"<\1>{REDACTED}<"),
    # skey=abc, token:abc, "skey": "abc"; but not the words after `mqtt.password: ` in a sentence
    (
        re.compile(rf"{_ANY_NAME}([\"']?\s*=\s*|[\"']\s*:\s*|:){_ANY_VALUE}", re.IGNORECASE),
        rf"\1\2{REDACTED}",
    ),
    # Set-Cookie: wxsid=abc; Path=/
    (re.compile(r"\b((?:set-)?cookie|authorization)\s*:\s*.*", re.IGNORECASE), rf"\1: {REDACTED}"),
    # the QR code of web WeChat: https://login.weixin.qq.com/l/abcdef==
    (re.compile(r"(/l/|/qrcode/)[\w=-]{6,}", re.ASCII), rf"\1{REDACTED}"),
    # the token of a bot of iLink: 0123456789ab@im.bot:abcdef
    (re.compile(r"(@im\.bot:)[\w+/=.~-]+", re.ASCII), rf"\1{REDACTED}"),
    # the address of a file of iLink: https://novac2c.cdn.weixin.qq.com/c2c/download?…
    (re.compile(r"(/c2c/(?:down|up)load)\?[^\s\"'<>]+"), rf"\1?{REDACTED}"),
    # the QR code of iLink: https://liteapp.weixin.qq.com/q/7GiQu1?…
    (re.compile(r"(\bliteapp\.weixin\.qq\.com/q/)[^\s\"'<>]+"), rf"\1{REDACTED}"),
    # the QR code of WeCom: https://work.weixin.qq.com/ai/qc/c?s=abc
    (re.compile(r"(\bwork\.weixin\.qq\.com/ai/qc/c\?)[^\s\"'<>]+"), rf"\1{REDACTED}"),
    # the user and the password in an address: mqtt://me:abc@broker
    (re.compile(r"://[^\s/@]+@"), f"://{REDACTED}@"),
    # Bearer abcdef
    (re.compile(r"\b(Bearer|Basic)\s+[\w+/=.~-]{4,}", re.IGNORECASE), rf"\1 {REDACTED}"),
)


def redact(text: str) -> str:
    """Replaces everything in a text that looks like a secret."""
    return _LONG_RUN.sub(_hide_if_mixed, _redact_patterns(text))


def _redact_patterns(text: str) -> str:
    """Replaces what has the pattern of a secret; long texts in base64 are left."""
    text = _redact_tickets(text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


# The end of the ticket of a QR code, as in A1b%2F-c@qrticket_0. Letters, digits and `_TICKET_SIGNS` before it
# are the ticket.
_TICKET_END = re.compile(r"(?:@|%40)qrticket_\d+")
_TICKET_SIGNS = "_%.+/=-"


def _redact_tickets(text: str) -> str:
    """Replaces the tickets of QR codes. A pattern of a whole ticket would be tried from each character."""
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


# A long text in base64, which may be a secret; also a path or a hash in hex, which is none.
_LONG_RUN = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}", re.ASCII)
_MIXED = re.compile(r"(?=.*[0-9])(?=.*[A-Z])(?=.*[a-z]).{40,}", re.ASCII)


def _hide_if_mixed(run: re.Match[str]) -> str:
    """Hides a long text that mixes digits and both cases, as base64 does; `/` separates names of a path."""
    return REDACTED if any(_MIXED.match(part) for part in run[0].split("/")) else run[0]
