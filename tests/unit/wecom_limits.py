"""Drivers of the limits of what WeCom sends: see `test_limits.py`.

Each gets a value of the limit and a folder, and returns whether that much is still within the limit.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from tests.support.backend_options import backend_options
from wx2mqtt.model import Handle, Message
from wx2mqtt.wechat.wecom.client import WeComClient
from wx2mqtt.wechat.wecom.connection import MAX_FRAME_BYTES, WeComConnection
from wx2mqtt.wechat.wecom.protocol import frames, media, messages, qr_scan, session

Driver = Callable[[Any, Path], bool]


class SilentSocket:
    """A socket that never receives anything."""

    state = State.OPEN

    async def recv(self, **_: object) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None: ...

    @property
    def transport(self) -> Any:
        return self

    def abort(self) -> None: ...


def frame_of_wecom(size: int, _: Path) -> bool:
    protocol = ClientProtocol(parse_uri("ws://a/"), max_size=MAX_FRAME_BYTES, state=State.OPEN)
    protocol.receive_data(Frame(Opcode.TEXT, b"x" * size).serialize(mask=False))
    return protocol.parser_exc is None


def is_open_after(*frames: bytes) -> bool:
    """Returns whether a connection is still open while these frames wait to be read."""

    async def scenario() -> bool:
        client = WeComClient(backend_options(credentials=None), http=None, configured=None)  # type: ignore[arg-type]
        connection = WeComConnection(SilentSocket(), client._connection_options)  # type: ignore[arg-type]
        for frame in frames:
            connection._take(frame)
        is_open = connection.end_reason is None
        await connection.close()
        return is_open

    return asyncio.run(scenario())


def waiting_callbacks(count: int, _: Path) -> bool:
    return is_open_after(*[b'{"cmd": "x"}'] * count)


def waiting_bytes(size: int, _: Path) -> bool:
    pieces = [size // 8] * 7 + [size - size // 8 * 7]
    return is_open_after(*(b'{"cmd": "x"}'.ljust(piece) for piece in pieces))


def read(**body: object) -> tuple[Message, ...]:
    whole = {"msgid": "m", "from": {"userid": "u"}, "msgtype": "text", **body}
    return messages.read_messages(whole, "", "en", 0)


def words_of_error(size: int, _: Path) -> bool:
    frame = {"headers": {"req_id": "r"}, "errcode": 1, "errmsg": ("abc." * size)[:size]}
    answer = frames.read_frame(json.dumps(frame).encode())
    return isinstance(answer, frames.Answer) and len(answer.errmsg) == size


def id_of_wecom(size: int, _: Path) -> bool:
    try:
        return bool(read(msgid="x" * size))
    except ValueError:
        return False


def parts(count: int, _: Path) -> bool:
    return len(read(msgtype="mixed", mixed={"msg_item": [{"msgtype": "text"}] * count})) == count


def quoted_text(size: int, _: Path) -> bool:
    (message,) = read(quote={"msgtype": "text", "text": {"content": "x" * size}})
    return len(str(message.detail["text"])) == size


def scan_code(size: int, _: Path) -> bool:
    return (
        qr_scan.read_scan_code({"data": {"scode": "s", "auth_url": "https://a/".ljust(size, "x")}})
        is not None
    )


WECOM_DRIVERS: dict[str, Driver] = {
    "a message of WeCom, without its files": frame_of_wecom,
    "messages of WeCom that wait to be stored": waiting_callbacks,
    "size of the messages of WeCom that wait to be stored": waiting_bytes,
    "WeCom's words about an error that are shown": words_of_error,
    "an id of WeCom": id_of_wecom,
    "parts of a message (WeCom)": parts,
    "the text of a quoted message (WeCom)": quoted_text,
    "the address of a file (WeCom)": lambda size, _: media.media_ref({"url": "x" * size}, 0) is not None,
    "the content of a QR code (WeCom)": scan_code,
    "chats of a saved login (WeCom)": lambda count, _: (
        len(session.SavedBot(bot_id="b").with_chats(Handle(f"user:{n}") for n in range(count)).chats) == count
    ),
}
