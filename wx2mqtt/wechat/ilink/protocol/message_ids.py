"""The id of a message, and the key by which a second delivery of it is recognised (ilink 4.5).

WeChat may deliver a message twice, seconds apart and under two ids: "7500" and "7501". Its sender, time and
content stay the same. Each item of a message is published as a message of its own: that of the second one is
"7500.2". The id is published; replies name a message by it. The journal stores the key, and takes each once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from wx2mqtt.model import Json
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_object, read_text

# A key has so many characters of a hex digest.
KEY_CHARACTERS = 40

# Fields of the content of an item that are equal in two deliveries.
_STABLE_FIELDS = ("text", "file_name", "len", "md5", "playtime", "mid_size", "video_size", "video_md5")


def read_id(entry: JsonObject, field_name: str) -> str:
    """Returns the id in a field, or an empty string; WeChat writes 0 for no id."""
    message_id = read_text(entry, field_name).strip()
    return message_id if message_id.strip("0") else ""


def hash_entry(entry: JsonObject) -> str:
    """Returns a hash of all fields: the same message with the same id has the same one."""
    serialized = json.dumps(entry, sort_keys=True, default=str)
    return hashlib.sha256(serialized.encode()).hexdigest()[:KEY_CHARACTERS]


def ids_and_keys(
    entry: JsonObject, items: list[JsonObject], sender: str, time: int
) -> Iterator[tuple[str, str]]:
    """Yields the id and the key of each item of a message; one pair for a message without items.

    `time` is the time of the message in milliseconds, 0 where it has none; then its id is a part of the key.
    An item of a message without an id has its key as id.
    """
    ids = [read_id(entry, "message_id"), *(read_id(item, "msg_id") for item in items)]
    message_id = next(filter(None, ids), "")  # the first that is not empty
    time_or_id = time or read_text(entry, "message_id") or read_text(entry, "seq")
    content = [sender, time_or_id, [_stable_content(item) for item in items]]
    # A key is the hash of the list `[sender, time, items, index]`. Its beginning is hashed once.
    content_hash = hashlib.sha256(json.dumps(content).removesuffix("]").encode())
    for index in range(len(items) or 1):
        item_hash = content_hash.copy()
        item_hash.update(f", {index}]".encode())
        key = item_hash.hexdigest()[:KEY_CHARACTERS]
        number = f".{index + 1}" if index else ""
        yield (f"{message_id}{number}" if message_id else key), key


def _stable_content(item: JsonObject) -> list[Json]:
    """Returns what is equal in two deliveries of an item.

    The address of a file is used only where it has no key: WeChat may make a new one for each delivery.
    """
    values: list[Json] = [read_number(item, "type")]
    for name in ("text_item", "image_item", "voice_item", "file_item", "video_item"):
        if content := read_object(item, name):
            media = read_object(content, "media")
            file_key = (
                read_text(content, "aeskey")
                or read_text(media, "aes_key")
                or read_text(media, "encrypt_query_param")
            )
            values += [file_key, *(read_text(content, field_name) for field_name in _STABLE_FIELDS)]
    quoted = read_object(item, "ref_msg")
    return [*values, read_text(quoted, "svr_id"), read_text(read_object(quoted, "message_item"), "msg_id")]
