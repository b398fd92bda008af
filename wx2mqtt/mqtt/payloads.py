"""Payloads as bytes: commands in, messages, results and answers out. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from wx2mqtt.clock import rfc3339
from wx2mqtt.model import Json, Kind, Message, Result

RESULT_CODES = frozenset(
    {
        *("ok", "unconfirmed", "unknown_user", "unresolved_user", "bad_command", "empty", "too_long"),
        *("too_large", "retained", "not_allowed", "unsupported", "rate_limited", "window_closed"),
        *("quota_used", "displaced", "logged_out", "expired", "refused_by_wechat", "no_answer"),
        *("id_reused", "bad_response_topic", "storage_full", "dropped", "internal"),
        *("bad_file", "fetch_failed", "unknown_message", "too_late"),
    }
)
"""Every `code` of a result (README, "Sending")."""

REQUEST_CODES = RESULT_CODES | {
    *("unknown_request", "bad_request", "stream_changed", "unknown_id", "gone", "not_ready")
}
"""Every `code` of an answer to a request (README, "Requests")."""

MAX_LAST_TEXT_CHARACTERS = 1000  # characters of text in `last`
MAX_PLAIN_TEXT_BYTES = 200  # bytes on `text/<user>`: what small devices have a buffer for


def encode(value: Mapping[str, Json]) -> bytes:
    """Compact JSON, real UTF-8. A lone surrogate becomes `?`: one bad character stops nothing."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def message_body(
    message: Message,
    *,
    account: str,
    user: str,
    chat_name: str,
    sender: Mapping[str, Json] | None,
    trusted: bool,
    media: Mapping[str, Json],
) -> dict[str, Json]:
    """A message as published, but for `schema`, `stream` and `seq`, which the journal gives at the commit.

    `media` is what its object says of its bytes.
    """
    body: dict[str, Json] = {
        "id": message.id,
        "account": account,
        "user": user,
        "chat": {"kind": str(message.chat_kind), "name": chat_name},
        "trusted": trusted,
        "mentioned": message.mentioned,
        "kind": str(message.kind),
        "text": message.text,
        "time": rfc3339(message.time),
    }
    if sender is not None:
        body["sender"] = dict(sender)
    if message.kind is not Kind.TEXT or message.detail:
        body[str(message.kind)] = {**message.detail, **media}
    return body


def event_body(
    name: str, *, event_id: str, account: str, time: int, user: str | None, fields: Mapping[str, Json]
) -> dict[str, Json]:
    """An event; `user` is absent where nobody known is meant."""
    body: dict[str, Json] = {"schema": 1, "event": name, "id": event_id, "account": account}
    if user is not None:
        body["user"] = user
    body["time"] = rfc3339(time)
    return {**body, **fields, **body}


def result_body(result: Result, account: str) -> dict[str, Json]:
    """A result: all keys, null where nothing is known; but the last ones only where they apply."""
    body: dict[str, Json] = {
        "schema": 1,
        "account": account,
        "id": result.id,
        "user": result.user,
        "status": str(result.status),
        "code": result.code,
        "message": result.message,
        "message_id": result.message_id,
        "time": rfc3339(result.time),
        "retry_after": result.retry_after,
        "duplicate_possible": result.duplicate_possible,
    }
    if result.parts is not None:
        body |= {"parts": result.parts, "parts_sent": result.parts_sent}
    return {**body, "fallback": result.fallback} if result.fallback else body


def answer_ok(data: Json, transaction: Json) -> bytes:
    """A good answer to a request; `transaction` is echoed when there was one."""
    return _answer({"status": "ok", "data": data}, transaction)


def answer_error(code: str, error: str, transaction: Json, retry_after: float | None = None) -> bytes:
    """An answer that says why a request was not carried out, and in how many seconds to ask again."""
    later: dict[str, Json] = {} if retry_after is None else {"retry_after": retry_after}
    return _answer({"status": "error", "code": code, "error": error, **later}, transaction)


def _answer(body: dict[str, Json], transaction: Json) -> bytes:
    return encode(body if transaction is None else {**body, "transaction": transaction})


def last_body(payload: bytes) -> bytes:
    """`last` from a message's payload: without its bytes, and its text cut to 1,000 characters."""
    body: dict[str, Json] = json.loads(payload)
    had_bytes, text = _lose_bytes(body), body.get("text")
    if isinstance(text, str) and len(text) > MAX_LAST_TEXT_CHARACTERS:
        return encode({**body, "text": text[:MAX_LAST_TEXT_CHARACTERS], "truncated": True})
    return encode(body) if had_bytes else payload


def plain_text(text: str) -> bytes:
    """The bare text for small devices: as many whole characters as go into 200 bytes."""
    return text.encode("utf-8", "replace")[:MAX_PLAIN_TEXT_BYTES].decode("utf-8", "ignore").encode()


def without_bytes(payload: bytes) -> bytes | None:
    """A message without the bytes in it (`media.inline_below`), marked as `cut_payload` does; None:
    it holds none.
    """
    body: dict[str, Json] = json.loads(payload)
    return encode({**body, "truncated": True}) if _lose_bytes(body) else None


def cut_payload(payload: bytes, limit: int) -> bytes | None:
    """A message cut to `limit` bytes, the most that the broker takes, with `truncated: true`.

    None when even that would not do.

    The bytes in it go first, then long details, then the text; ids, names and times stay.
    """
    body: dict[str, Json] = json.loads(payload)
    body["truncated"] = True
    kind = body.get("kind")
    if _lose_bytes(body) and len(smaller := encode(body)) <= limit:
        return smaller
    if isinstance(kind, str) and kind != "text":  # the details of a text are the text
        body.pop(kind, None)
    smaller = encode(body)
    if len(smaller) <= limit:
        return smaller
    text = body.get("text")
    if not isinstance(text, str):
        return None
    room = limit - len(encode({**body, "text": ""}))
    if room <= 0:
        return None
    # Escapes may double a character, so the text is cut by what its JSON takes, not by its own bytes.
    body["text"] = _fit(text, room)
    return encode(body)


def _lose_bytes(body: dict[str, Json]) -> bool:
    """Take the `data` out of a message (`media.inline_below`); whether there was any."""
    shown = body.get(str(body.get("kind")))
    return isinstance(shown, dict) and shown.pop("data", None) is not None


def _fit(text: str, room: int) -> str:
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if len(encode({"": text[:middle]})) - 5 <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low]
