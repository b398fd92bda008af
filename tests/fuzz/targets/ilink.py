"""iLink: updates with their items, other answers, saved logins, addresses, keys and encrypted files."""

from __future__ import annotations

import json
from contextlib import suppress
from random import Random
from urllib.parse import urlsplit

from tests.fuzz.mutators import HOSTILE_TEXTS, either, encode_json, grown, grown_json, mutated, mutated_json
from tests.fuzz.oracles import JSON_MEMORY_FACTOR, require_json, require_one_line
from tests.fuzz.target import Target
from tests.fuzz.targets.webwx_messages import check_item
from tests.fuzz.targets.webwx_samples import NOW_MS
from tests.unit.wechat.ilink.entries import (
    BOT,
    CDN,
    KEY,
    KEY24,
    KEY44,
    ME,
    TOKEN,
    entry,
    file,
    image,
    text,
    video,
    voice,
)
from wx2mqtt.model import Cursor, Handle, SendKey
from wx2mqtt.wechat.ilink.protocol import (
    crypto,
    message_ids,
    messages,
    reply_window,
    requests,
    responses,
    session,
)
from wx2mqtt.wechat.ilink.protocol.endpoints import GET_UPDATES
from wx2mqtt.wechat.ilink.protocol.trusted_hosts import TrustedHosts, host_of
from wx2mqtt.wechat.json_reader import JsonObject, UnreadableJson, parse_json

_QUOTED = text("heating is on", msg_id="7500000000000000001")
_PART = {"start": "heat", "end": "on", "startindex": 0, "endindex": 0, "quotemd5": ""}
_ITEMS = (
    text(),
    image(thumb_media={"encrypt_query_param": "T", "aes_key": KEY24}, aeskey=KEY.hex()),
    voice(),
    file(md5="00112233445566778899aabbccddeeff"),
    video(video_md5="0" * 32),
    text("ok", ref_msg={"message_item": _QUOTED, "title": "heating", "svr_id": 1, "partial_text": _PART}),
    text("ok", ref_msg={"message_item": image(), "title": ""}),
    text("ok", ref_msg={"message_item": file()}),
    text("ok", ref_msg={"svr_id": "7500000000000000002"}),
    {"type": 99, "strange_item": {}},
)
_UPDATES = [
    *(
        encode_json(
            {"ret": 0, "msgs": [entry(item)], "get_updates_buf": "B", "longpolling_timeout_ms": 35_000}
        )
        for item in _ITEMS
    ),
    encode_json({"ret": 0, "msgs": [entry(*_ITEMS), entry(message_type=2), {}], "get_updates_buf": "B"}),
    encode_json({"ret": -14, "errcode": -14, "errmsg": "session timeout"}),
]
_WORDS = (BOT, ME, KEY24, KEY44, KEY.hex(), CDN, "heat", "on", "7500000000000000001")


def _check_received(item: messages.ReceivedItem) -> None:
    check_item(item.message)
    for media in (item.message.media, item.message.thumbnail):
        if media is not None:
            assert crypto.parse_locator(media.locator) is not None
    quote = item.quote
    if quote is not None:
        require_json(quote.detail())
        if quote.part is not None:
            part = messages.selected_text(quote.text, quote.part)
            assert part is None or part in quote.text


def _check_identity(fields: JsonObject) -> None:
    """Fails unless a message that is delivered again has the same id and digest."""
    again = json.loads(json.dumps(fields))
    message_id = message_ids.read_id(fields, "message_id")
    assert message_id == message_id.strip() == message_ids.read_id(again, "message_id")
    digest = message_ids.hash_entry(fields)
    assert len(digest) == 40
    assert digest == message_ids.hash_entry(again)


def _run_updates(data: bytes) -> None:
    try:
        answer = parse_json(data)
    except UnreadableJson:
        return
    responses.error_code(answer)
    require_one_line(responses.error_text(answer), responses.MAX_ERROR_CHARACTERS)
    updates = responses.read_updates(answer)
    assert updates.hold_seconds is None or updates.hold_seconds > 0
    window = reply_window.ChatWindow()
    for fields in updates.messages[:100]:
        _check_identity(fields)
    for fields in updates.messages:
        messages.is_of_group(fields)
        try:
            received = messages.read_message(fields, BOT, "en", NOW_MS)
        except ValueError:  # a message without a sender
            continue
        if received is None:
            continue
        for item in received.items:
            _check_received(item)
        window = window.with_message(received.time, received.context_token)
    window.reply_window(NOW_MS)
    position = session.SyncCursor(buf=updates.buf, chats={Handle(ME): window})
    again = session.SyncCursor.from_cursor(position.to_cursor())
    assert again.buf == position.buf
    requests.call_request("https://a", GET_UPDATES, {"get_updates_buf": updates.buf}, TOKEN, 1)


_ANSWERS = [
    encode_json(answer)
    for answer in (
        {"ret": 0, "qrcode": "q1", "qrcode_img_content": "https://liteapp.weixin.qq.com/q/7GiQu1?qrcode=q1"},
        {"ret": 0, "status": "wait"},
        {"ret": 0, "status": "scaned_but_redirect", "redirect_host": "ilinkai2.weixin.qq.com"},
        {
            "status": "confirmed",
            "bot_token": TOKEN,
            "ilink_bot_id": BOT,
            "ilink_user_id": ME,
            "baseurl": "https://ilinkai.weixin.qq.com",
        },
        {"ret": 0, "upload_full_url": f"{CDN}/upload?x=1", "upload_param": "P1+/="},
        {"ret": 0, "message_id": 7_500_000_000_000_000_101},
        {"ret": 0, "typing_ticket": "T", "errmsg": "ok"},
        {
            "ret": -2,
            "errcode": -2,
            "errmsg": "prompt message exceed limit; token aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        },
    )
]


def _run_answers(data: bytes) -> None:
    try:
        answer = parse_json(data)
    except UnreadableJson:
        return
    code = responses.read_qr_code(answer)
    assert bool(code.code_id) == bool(code.content)
    assert code.content.isprintable()
    scan = responses.read_scan_answer(answer)
    require_one_line(scan.status, responses.MAX_ERROR_CHARACTERS)
    for hosts in (
        TrustedHosts(),
        TrustedHosts(extra=("mirror.example",)),
        TrustedHosts(endpoint="http://127.0.0.1:9"),
    ):
        for url in (hosts.base_url(scan.base), hosts.polling_url(scan.host)):
            if url is not None:
                _check_trusted(url, hosts)
                _check_url(requests.status_request(url, code.code_id, "123456").url)
    address, param = responses.read_upload_url(answer)
    _check_url(requests.upload_url(CDN, param[:4096], "f"))
    assert isinstance(
        message_ids.read_id(answer, "message_id") + responses.read_typing_ticket(answer) + address, str
    )
    reply_window.meaning_of_refusal(
        responses.error_code(answer), responses.error_text(answer), reply_window.ChatWindow(),
        now=NOW_MS, with_token=True, has_file=False,
    )  # fmt: skip
    item = requests.text_item(scan.status)
    body = requests.message_body(scan.user, item, SendKey("k"), scan.token)
    request = requests.call_request("https://a", GET_UPDATES, body, "t", 1)
    assert request.body is not None
    json.loads(request.body)
    requests.qr_code_request("https://a", (scan.token,), 1)


def _check_url(url: str) -> None:
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url


def _check_trusted(url: str, hosts: TrustedHosts) -> None:
    """Fails for a base URL that leads anywhere but to Tencent, an extra host or the endpoint."""
    parts = urlsplit(url)
    if hosts.endpoint is not None:
        assert url.startswith(hosts.endpoint)
        return
    host = parts.hostname or ""
    assert parts.scheme == "https"
    assert any(host == domain or host.endswith(f".{domain}") for domain in ("weixin.qq.com", *hosts.extra)), (
        url
    )
    assert parts.port in {None, 443}
    assert "@" not in parts.netloc


def _run_addresses(data: bytes) -> None:
    url = data.decode("utf-8", "replace")
    for hosts in (
        TrustedHosts(),
        TrustedHosts(extra=("mirror.example",)),
        TrustedHosts(endpoint="http://127.0.0.1:9"),
    ):
        for trusted in (hosts.base_url(url), hosts.polling_url(url), hosts.media_url(url)):
            if trusted is not None:
                _check_trusted(trusted, hosts)
                _check_url(trusted)
    host_name = host_of(url)
    assert len(host_name) <= 253
    assert host_name.isprintable()
    _check_url(requests.download_url(CDN, url[:4096]))


_SAVED_BOTS = [
    encode_json(
        session.bots_to_saved(
            [
                session.Bot(
                    id=BOT, token=TOKEN, user=Handle(ME), base="https://ilinkai.weixin.qq.com", cursor="C",
                    chats={Handle(ME): reply_window.ChatWindow(context_token="T", last_wrote=5, sent=(6, 7))},
                )
            ]
        )
    ),
    encode_json({"buf": "B", "chats": {ME: {"token": "T", "wrote": 5}}}),
]  # fmt: skip


def _run_saved(data: bytes) -> None:
    position = session.SyncCursor.from_cursor(Cursor(data.decode("utf-8", "replace")))
    position.to_cursor()
    try:
        saved = parse_json(data)
    except UnreadableJson:
        return
    bots = session.bots_from_saved(saved)
    assert session.is_saved_login(saved) == bool(bots)
    assert session.bots_from_saved(json.loads(json.dumps(session.bots_to_saved(bots)))) == bots
    for endpoint in (None, "http://127.0.0.1:9"):
        with suppress(ValueError):  # a base that is no URL
            for origin in session.host_origins(endpoint, saved):
                assert "://" in origin
    session.chat_from(saved).reply_window(NOW_MS)


def _run_crypto(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for key in (crypto.key_from_hex(text), crypto.key_from_base64(text)):
        if key is not None:
            assert len(key) == crypto.BLOCK_BYTES
            assert crypto.key_from_base64(crypto.key_to_base64(key)) == key
    fields = text.split("\n")
    names = ("key", "url", "param", "size", "md5")
    location = crypto.parse_locator(dict(zip(names, fields, strict=False)))
    assert location is None or location.url or location.param
    decryptor = crypto.Decryptor(KEY)
    with suppress(crypto.WrongKey, crypto.TruncatedCiphertext):
        plain = decryptor.update(data[:100]) + decryptor.update(data[100:]) + decryptor.finish()
        encryptor = crypto.Encryptor(KEY)
        assert encryptor.update(plain) + encryptor.finish() == data
    encryptor, decryptor = crypto.Encryptor(KEY), crypto.Decryptor(KEY)
    encrypted = encryptor.update(data) + encryptor.finish()
    assert decryptor.update(encrypted) + decryptor.finish() == data


def _encrypted(plain: bytes) -> bytes:
    encryptor = crypto.Encryptor(KEY)
    return encryptor.update(plain) + encryptor.finish()


_CRYPTO_SEEDS = (
    *(KEY.hex().encode(), KEY24.encode(), KEY44.encode(), _encrypted(b"hello"), _encrypted(bytes(32))),
    f"{KEY.hex()}\n{CDN}/download\nP1+/=\n5\n{KEY.hex()}".encode(),
)
_URLS = (
    f"{CDN}/download?a=1".encode(),
    b"https://ilinkai.weixin.qq.com/x/",
    b"ilinkai2.weixin.qq.com",
    b"http://127.0.0.1:9/c2c/x?y=1",
)
_URL_WORDS = (
    "weixin.qq.com",
    ".",
    "@",
    ":443",
    "://",
    "#",
    "?",
    "evil.example",
    "mirror.example",
    "/",
    "\\",
    "127.0.0.1",
)


def _random_ciphertext(random: Random) -> bytes:
    return _encrypted(random.choice(HOSTILE_TEXTS).encode() * random.randrange(20))


_PREFIX = "wechat.ilink.protocol"


def _names(module: str, *functions: str) -> tuple[str, ...]:
    return tuple(f"{_PREFIX}.{module}:{name}" for name in functions)


TARGETS = (
    Target(
        name="ilink.updates",
        run=_run_updates,
        parsers=(
            *_names(
                "responses",
                "error_code",
                "error_text",
                "printable_error",
                "read_updates",
            ),
            *_names("session", "SyncCursor.from_cursor"),
            *_names("messages", "read_message", "is_of_group", "read_quote", "read_part", "selected_text"),
            *_names("message_ids", "read_id", "hash_entry", "ids_and_keys"),
            *_names(
                "crypto",
                "picture_locator",
                "file_locator",
                "parse_locator",
                "key_from_hex",
                "key_from_base64",
            ),
            *_names("reply_window", "ChatWindow.with_message"),
            *_names("requests", "call_request"),
        ),
        seeds=_UPDATES,
        generate=mutated_json(_UPDATES, _WORDS),
        grow=grown_json(_UPDATES, _WORDS),
        cost_factor=4.0,  # the checks write each of thousands of items ten times
        memory_factor=JSON_MEMORY_FACTOR,
    ),
    Target(
        name="ilink.answers",
        run=_run_answers,
        parsers=(
            *_names("responses", "read_qr_code", "read_scan_answer", "read_upload_url"),
            *_names("responses", "read_typing_ticket", "error_text"),
            *_names("reply_window", "meaning_of_refusal"),
            *_names("trusted_hosts", "TrustedHosts.base_url", "TrustedHosts.polling_url"),
            *_names(
                "requests",
                "status_request",
                "upload_url",
                "text_item",
                "message_body",
                "qr_code_request",
            ),
        ),
        seeds=_ANSWERS,
        generate=mutated_json(_ANSWERS, (*_WORDS, *_URL_WORDS)),
        grow=grown_json(_ANSWERS, _WORDS),
        cost_factor=2.0,
        memory_factor=JSON_MEMORY_FACTOR,
    ),
    Target(
        name="ilink.addresses",
        run=_run_addresses,
        parsers=(
            *_names(
                "trusted_hosts",
                "TrustedHosts.base_url",
                "TrustedHosts.polling_url",
                "TrustedHosts.media_url",
                "host_of",
            ),
            *_names("requests", "download_url"),
        ),
        seeds=_URLS,
        generate=mutated(_URLS, _URL_WORDS),
        grow=grown(_URLS, _URL_WORDS),
        memory_factor=2.0,
    ),
    Target(
        name="ilink.saved_logins",
        run=_run_saved,
        parsers=_names("session", "bots_from_saved", "host_origins", "chat_from", "is_saved_login"),
        seeds=_SAVED_BOTS,
        generate=mutated_json(_SAVED_BOTS, (*_WORDS, "https://[", "quota")),
        grow=grown_json(_SAVED_BOTS, _WORDS),
        cost_factor=2.0,
        memory_factor=JSON_MEMORY_FACTOR,
    ),
    Target(
        name="ilink.crypto",
        run=_run_crypto,
        parsers=_names(
            "crypto",
            *("key_from_hex", "key_from_base64", "key_to_base64", "parse_locator"),
            *("Encryptor.update", "Decryptor.update"),
        ),
        seeds=_CRYPTO_SEEDS,
        generate=either(mutated(_CRYPTO_SEEDS, (KEY24, KEY44, KEY.hex(), "=", "\n")), _random_ciphertext),
        grow=grown(_CRYPTO_SEEDS, ("=", "\n", "A", "0")),
        memory_factor=2.0,
    ),
)
