"""Builds the payloads that the bridge publishes, and cuts those that are too large. Pure.

    result_body(result, "home")     {"schema": 1, "account": "home", "id": "42", "status": "sent", …}
    cut_payload(payload, 1000)      the same with fewer details and `truncated`, in 1,000 bytes

A `…_body` is an object that the caller encodes; all else is JSON in UTF-8 already.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from wx2mqtt.clock import rfc3339
from wx2mqtt.limits import MAX_LAST_TEXT_CHARACTERS, MAX_PLAIN_TEXT_BYTES
from wx2mqtt.model import Json, Kind, Message, Result

# Every `code` of a result (docs/en/reference/results.md).
RESULT_CODES = frozenset(
    {
        *("ok", "unconfirmed", "unknown_user", "unresolved_user", "bad_command", "empty", "too_long"),
        *("too_large", "retained", "not_allowed", "unsupported", "rate_limited", "window_closed"),
        *("quota_used", "displaced", "logged_out", "expired", "refused_by_wechat", "no_answer"),
        *("id_reused", "bad_response_topic", "storage_full", "dropped", "internal", "other_account"),
        *("bad_file", "fetch_failed", "unknown_message", "too_late", "no_chat"),
    }
)

# Every `code` of an answer to a request (docs/en/reference/results.md).
REQUEST_CODES = RESULT_CODES | {
    *("unknown_request", "bad_request", "stream_changed", "unknown_id", "gone", "not_ready")
}


def encode(value: Mapping[str, Json]) -> bytes:
    """Returns compact JSON in UTF-8. A lone surrogate, which UTF-8 cannot hold, becomes `?`."""
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
    """Builds a message without `schema`, `stream` and `seq`, which the journal adds at the commit.

    `user` is the topic name. `sender` is None in a chat with one person. `media` are the fields of an
    attachment (`url`, `size`, `data`).
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
    """Builds an event; without a known person it has no `user`. `fields` cannot replace the common keys."""
    body: dict[str, Json] = {"schema": 1, "event": name, "id": event_id, "account": account}
    if user is not None:
        body["user"] = user
    body["time"] = rfc3339(time)
    return body | {key: value for key, value in fields.items() if key not in body}


def result_body(result: Result, account: str) -> dict[str, Json]:
    """Builds a result with all keys, null where unknown; parts, bundle and fallback only where they apply."""
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
        "sender": result.sender or None,
    }
    if result.parts is not None:
        body |= {"parts": result.parts, "parts_sent": result.parts_sent}
    if result.bundled is not None:
        body["bundled"] = result.bundled
    if result.fallback:
        body["fallback"] = result.fallback
    if result.fallback_account:
        body["fallback_account"] = result.fallback_account
    if result.summarized is not None:
        body["summarized"] = result.summarized
    return body


def answer_ok(data: Json, transaction: Json) -> bytes:
    """Builds the answer to a request that succeeded; `transaction` is echoed unless it is None."""
    return _answer({"status": "ok", "data": data}, transaction)


def answer_error(code: str, error: str, transaction: Json, retry_after: float | None = None) -> bytes:
    """Builds the answer to a request that failed; `error` is a sentence, `retry_after` is in seconds."""
    retry: dict[str, Json] = {} if retry_after is None else {"retry_after": retry_after}
    return _answer({"status": "error", "code": code, "error": error, **retry}, transaction)


def _answer(body: dict[str, Json], transaction: Json) -> bytes:
    return encode(body if transaction is None else {**body, "transaction": transaction})


def last_body(payload: bytes) -> bytes:
    """Builds `last` from a message: without its attachment, the text cut to 1,000 characters."""
    if len(payload) <= MAX_LAST_TEXT_CHARACTERS and b'"data"' not in payload:
        return payload  # most messages are as short, and need not be read for it
    body: dict[str, Json] = json.loads(payload)
    had_data = _remove_data(body)
    text = body.get("text")
    if isinstance(text, str) and len(text) > MAX_LAST_TEXT_CHARACTERS:
        return encode({**body, "text": text[:MAX_LAST_TEXT_CHARACTERS], "truncated": True})
    return encode(body) if had_data else payload


def plain_text(text: str) -> bytes:
    """Returns the text in UTF-8, cut to the whole characters that fit into 200 bytes."""
    return text.encode("utf-8", "replace")[:MAX_PLAIN_TEXT_BYTES].decode("utf-8", "ignore").encode()


def without_attachment(payload: bytes) -> bytes | None:
    """Returns a message without its inline attachment (`media.inline_below`), with `truncated: true`.

    Returns None if it has none.
    """
    body: dict[str, Json] = json.loads(payload)
    return encode({**body, "truncated": True}) if _remove_data(body) else None


def cut_payload(payload: bytes, limit: int) -> bytes | None:
    """Returns a message cut to `limit` bytes, with `truncated: true`; None if even that does not fit.

    The inline attachment goes first, then the details of the kind, then the end of the text. Ids, names and
    times stay.
    """
    body: dict[str, Json] = json.loads(payload)
    body["truncated"] = True
    kind = body.get("kind")
    if _remove_data(body) and len(shorter := encode(body)) <= limit:
        return shorter
    if isinstance(kind, str) and kind != "text":  # the details of a text are the text
        body.pop(kind, None)
    shorter = encode(body)
    if len(shorter) <= limit:
        return shorter
    text = body.get("text")
    if not isinstance(text, str):
        return None
    text_bytes = limit - len(encode({**body, "text": ""}))
    if text_bytes <= 0:
        return None
    body["text"] = _cut_text(text, text_bytes)
    return encode(body)


def _remove_data(body: dict[str, Json]) -> bool:
    """Removes the inline attachment `data` from a message. Returns whether it had one."""
    details = body.get(str(body.get("kind")))
    return isinstance(details, dict) and details.pop("data", None) is not None


def _cut_text(text: str, max_bytes: int) -> str:
    """Returns the longest beginning whose JSON, with quotes and escapes, has at most `max_bytes`."""
    object_bytes = len(encode({"": 0})) - 1
    low = 0
    high = len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if len(encode({"": text[:middle]})) - object_bytes <= max_bytes:
            low = middle
        else:
            high = middle - 1
    return text[:low]
