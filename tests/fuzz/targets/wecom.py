"""WeCom: frames with messages and presses, answers to a scan, texts and addresses, saved logins, encrypted files."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from functools import cache

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.fuzz.mutators import encode_json, grown, grown_json, mutated, mutated_json
from tests.fuzz.oracles import JSON_MEMORY_FACTOR, require_json
from tests.fuzz.target import Target
from tests.fuzz.targets.webwx_messages import check_item
from tests.fuzz.targets.webwx_samples import NOW_MS
from wx2mqtt.model import Button, Handle, Kind
from wx2mqtt.names import clean_filename
from wx2mqtt.wechat.json_reader import UnreadableJson, parse_json
from wx2mqtt.wechat.wecom.protocol import (
    cards,
    endpoints,
    frames,
    handles,
    markdown,
    media,
    messages,
    qr_scan,
    requests,
    session,
)

KEY = bytes(range(32))
KEY_TEXT = base64.b64encode(KEY).decode()
_FILE = {"url": "https://files.example/1?sign=a", "aeskey": KEY_TEXT}
_PARTS = (
    {"msgtype": "text", "text": {"content": "@Bot open *the* door"}},
    {"msgtype": "image", "image": _FILE},
    {"msgtype": "voice", "voice": {"content": "turn it off"}},
    {"msgtype": "file", "file": _FILE},
    {"msgtype": "video", "video": _FILE},
    {"msgtype": "hologram", "hologram": {}},
)
_MIXED = {"msgtype": "mixed", "mixed": {"msg_item": list(_PARTS)}}
_SENDER = {"msgid": "m1", "aibotid": "b", "chattype": "single", "from": {"userid": "zhangsan"}}
_GROUP = {**_SENDER, "chattype": "group", "chatid": "wrkABC", "create_time": 1_700_000_000}
_PRESS = {
    **_SENDER,
    "msgtype": "event",
    "event": {
        "eventtype": "template_card_event",
        "template_card_event": {"card_type": "button_interaction", "event_key": "y", "task_id": "q1"},
    },
}


def _frame(body: object, cmd: str = "aibot_msg_callback") -> bytes:
    return encode_json({"cmd": cmd, "headers": {"req_id": "r1"}, "body": body})


_FRAMES = [
    *(_frame({**_SENDER, **part}) for part in (*_PARTS, _MIXED)),
    _frame({**_GROUP, **_PARTS[0], "quote": _MIXED}),
    _frame(_PRESS, "aibot_event_callback"),
    _frame({"msgtype": "event", "event": {"eventtype": "disconnected_event"}}, "aibot_event_callback"),
    encode_json({"headers": {"req_id": "ping_1_2"}, "errcode": 846609, "errmsg": "not subscribed"}),
    encode_json({"data": {"scode": "s", "auth_url": "https://work.weixin.qq.com/ai/qc/c?s=1"}}),
    encode_json({"data": {"status": "success", "bot_info": {"botid": "b", "secret": "x"}}}),
]
_WORDS = ("@", "Bot", "user:", "group:", KEY_TEXT, "https://x", "q1", "scaned", "expired")


def _run_frames(data: bytes) -> None:
    with suppress(UnreadableJson):
        _check_scan(data)
    try:
        frame = frames.read_frame(data)
    except UnreadableJson:
        return
    assert len(frame.request_id) <= frames.MAX_REQUEST_ID_CHARACTERS
    if isinstance(frame, frames.Answer):
        return
    assert not frame.event_type or frame.command == "aibot_event_callback"
    with suppress(ValueError):  # no press, or one without a chat
        pressed = messages.read_button_press(frame, "c", NOW_MS)
        require_json({**pressed.private, "card": pressed.card_id, "button": pressed.button})
    press = cards.read_press(frame.body)
    assert press is None or (press.task_id and press.key)
    with suppress(ValueError):  # a message without an id, a sender or a chat
        received = messages.read_messages(frame.body, "Bot", "en", NOW_MS)
        assert 0 < len(received) <= messages.MAX_PARTS
        assert len({message.id for message in received}) == len(received)
        for message in received:
            check_item(message)
            assert handles.is_group(message.chat) == (message.chat != message.sender)
            handles.contact_of(message.chat)
            if message.media is not None:
                assert media.parse_locator(message.media.locator) is not None


def _check_scan(data: bytes) -> None:
    answer = parse_json(data)
    code = qr_scan.read_scan_code(answer)
    assert code is None or code.url.lower().startswith(("http://", "https://"))
    assert code is None or code.url.isprintable()
    if code is not None:
        _check_url(qr_scan.query_url("https://a", code.scode))
    scan = qr_scan.read_scan(answer)
    assert (scan.state is qr_scan.ScanState.CONFIRMED) == (scan.credentials is not None)


def _check_url(url: str) -> None:
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url


def _run_texts(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    escaped = markdown.escaped(text)
    assert _without_blanks(escaped) == _without_blanks(text)
    assert markdown.size_in_bytes(text) >= max(len(text), len(escaped.encode()))
    assert markdown.markdown_size_in_bytes(text) == len(text.encode())
    assert text.endswith(messages.text_without_address(text, "Bot"))
    _check_url(qr_scan.generate_url("https://a", text))
    name = media.filename_of(text)
    assert name == clean_filename(name)
    chat = handles.person_handle(text)
    assert handles.id_of(handles.handle_of_id(text)) == text
    for endpoint in (None, "http://127.0.0.1:9"):
        url = endpoints.file_url(endpoint, text)
        assert url in {None, text}
        if url is not None:
            _check_url(url)
    assert (handles.id_of(chat), handles.id_of(handles.group_handle(text))) == (text, text)
    for body in (
        requests.text_message(chat, escaped),
        requests.file_message(chat, Kind.VIDEO, text, text),
        requests.receipt(text, text),
        requests.upload_begin(Kind.FILE, text, 5, 1, "0"),
        requests.upload_piece(text, 0, text),
        requests.upload_end(text),
        *_card_bodies(text),
    ):
        require_json(body)
    request_id = frames.new_request_id(frames.FrameCommand.SEND, NOW_MS, data[:4])
    frame = frames.request_frame(frames.FrameCommand.SEND, request_id, {"text": text})
    assert json.loads(frame)["body"]["text"] == text
    assert len(requests.cut_to_bytes(text, 64).encode()) <= 64


def _without_blanks(text: str) -> str:
    return "".join(text.replace("\\", "").split())


def _card_bodies(text: str) -> list[requests.JsonBody]:
    texts = cards.card_texts(text)
    title = cards.short_title(text)
    assert _utf16_size(title) <= cards.MAX_TITLE_CHARACTERS
    if texts is None:
        texts = cards.CardTexts(title=title)
    assert _utf16_size(texts.title) <= cards.MAX_TITLE_CHARACTERS
    assert _utf16_size(texts.body) <= cards.MAX_BODY_CHARACTERS
    answered = cards.answered_card(texts, text[:30], "q1")
    assert _utf16_size(str(answered.get("sub_title_text", ""))) <= cards.MAX_BODY_CHARACTERS
    return [cards.card(texts, [Button(text="Yes", key="y")], "q1"), answered]


def _utf16_size(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


_SAVED = [
    encode_json(
        session.SavedBot(
            bot_id="aibK1", secret="x", ended=session.End.TAKEN_OVER, chats=(Handle("user:zhangsan"),)
        ).to_saved()
    ),
    encode_json(session.SavedBot(bot_id="aibK1", digest="00", endpoint="http://127.0.0.1:9").to_saved()),
]


def _run_saved(data: bytes) -> None:
    try:
        saved = parse_json(data)
    except UnreadableJson:
        return
    bot = session.read_saved_bot(saved)
    if bot is not None:
        assert session.is_saved_login(saved)
        assert session.read_saved_bot(json.loads(json.dumps(bot.to_saved()))) == bot
    assert endpoints.host_origins(None)
    for endpoint in ("http://127.0.0.1:9", "https://127.0.0.1:9/x/"):
        assert endpoints.socket_url(endpoint).startswith("ws")
        assert not endpoints.qr_base(endpoint).endswith("/")


def _run_crypto(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    key = media.read_key(text)
    assert key is None or len(key) == media.KEY_BYTES
    with suppress(UnreadableJson):
        part = parse_json(data)
        ref = media.media_ref(part, NOW_MS)
        assert ref is None or media.parse_locator(ref.locator) is not None
    media.parse_locator(dict(zip(("url", "key", "until"), text.split("\n"), strict=False)))
    decryptor = media.Decryptor(KEY)
    with suppress(media.WrongKey):
        plain = decryptor.update(data[:100]) + decryptor.update(data[100:]) + decryptor.finish()
        assert len(plain) < len(data)
    decryptor = media.Decryptor(KEY)
    assert decryptor.update(encrypted(data)) + decryptor.finish() == data


def encrypted(plain: bytes) -> bytes:
    """Encrypts as WeCom does (wecom 4.4)."""
    padding = 32 - len(plain) % 32
    encryptor = _cipher().encryptor()
    return encryptor.update(plain + bytes([padding]) * padding) + encryptor.finalize()


@cache
def _cipher() -> Cipher[modes.CBC]:
    return Cipher(algorithms.AES(KEY), modes.CBC(KEY[:16]))


_TEXTS = (
    *(b"hello", b"# *a* _b_ `c`\n> d\n1. e &amp; [x](y)", "@Bot 开门".encode(), b"C:\\temp\n- x\n+ y\n= z"),
    *(b'attachment; filename="a.pdf"', b"attachment; filename*=UTF-8''%E6%8A%A5.pdf; filename=x.pdf"),
)
_TEXT_WORDS = ("@", "Bot", "\n", "\\", "&#35;", "1. ", "> ", "filename*=", "UTF-8''", "%E6", ";", '"')
_CRYPTO = (
    KEY_TEXT.encode(),
    encode_json(_FILE),
    encrypted(b"hello"),
    encrypted(bytes(32)),
    b"u\n00\n5",
    b"u\n\n\x1d0",
)
_PREFIX = "wechat.wecom.protocol"


def _names(module: str, *functions: str) -> tuple[str, ...]:
    return tuple(f"{_PREFIX}.{module}:{name}" for name in functions)


TARGETS = (
    Target(
        name="wecom.frames",
        run=_run_frames,
        parsers=(
            *_names("frames", "read_frame"),
            *_names("cards", "read_press"),
            *_names("messages", "read_messages", "read_button_press"),
            *_names("qr_scan", "query_url", "read_scan_code", "read_scan"),
            *_names("media", "media_ref", "parse_locator"),
        ),
        seeds=_FRAMES,
        generate=mutated_json(_FRAMES, _WORDS),
        grow=grown_json(_FRAMES, _WORDS),
        cost_factor=4.0,  # a frame is read twice, and the checks write each of its messages
        memory_factor=JSON_MEMORY_FACTOR,
    ),
    Target(
        name="wecom.texts",
        run=_run_texts,
        parsers=(
            *_names("markdown", "escaped", "size_in_bytes", "markdown_size_in_bytes"),
            *_names("messages", "text_without_address"),
            *_names("qr_scan", "generate_url"),
            *_names("media", "filename_of"),
            *_names("handles", "person_handle", "group_handle", "handle_of_id"),
            *_names("endpoints", "file_url"),
            *_names("frames", "request_frame", "new_request_id"),
            *_names("requests", "text_message", "file_message", "receipt", "upload_begin"),
            *_names("requests", "upload_piece", "upload_end", "cut_to_bytes"),
            *_names("cards", "card_texts", "short_title", "card", "answered_card"),
        ),
        seeds=_TEXTS,
        generate=mutated(_TEXTS, _TEXT_WORDS),
        grow=grown(_TEXTS, _TEXT_WORDS),
        cost_factor=8.0,  # a text becomes ten bodies
        memory_factor=4.0,
    ),
    Target(
        name="wecom.saved_logins",
        run=_run_saved,
        parsers=(
            *_names("session", "read_saved_bot", "is_saved_login"),
            *_names("endpoints", "host_origins", "socket_url", "qr_base"),
        ),
        seeds=_SAVED,
        generate=mutated_json(_SAVED, _WORDS),
        grow=grown_json(_SAVED, _WORDS),
        cost_factor=2.0,
        memory_factor=JSON_MEMORY_FACTOR,
    ),
    Target(
        name="wecom.crypto",
        run=_run_crypto,
        parsers=(
            *_names("media", "read_key", "media_ref", "parse_locator", "Decryptor.update"),
            "wechat.json_reader:read_base64",
        ),
        seeds=_CRYPTO,
        generate=mutated(_CRYPTO, (KEY_TEXT, "=", "\n", '"')),
        grow=grown(_CRYPTO, ("=", "\n", "A", "0")),
        memory_factor=JSON_MEMORY_FACTOR,
    ),
)
