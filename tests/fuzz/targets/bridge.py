"""The bridge: deliveries, long texts, files in commands, names that become topics and entity ids, logs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from random import Random

from tests.fuzz.mutators import either, grown, grown_json, mutated, mutated_json
from tests.fuzz.oracles import LARGE_BYTES, require_json, require_safe_level
from tests.fuzz.target import Target
from tests.fuzz.targets.mqtt import _COMMANDS, _KEYS, _TEXTS, _large_command, check_refusal
from tests.unit.bridge.validation_harness import ValidationHarness
from wx2mqtt.app import control_socket, redaction
from wx2mqtt.bridge import attachment_checks
from wx2mqtt.bridge.people import directory, evidence, topic_names
from wx2mqtt.bridge.possible_answers import card_id, card_in
from wx2mqtt.bridge.text_split import prepare_split, split_for, split_question, split_text
from wx2mqtt.buttons import MAX_ANSWER_CHARACTERS, answer_form, button_lines
from wx2mqtt.errors import BadCommand, Wx2MqttError
from wx2mqtt.external.local_files import open_file
from wx2mqtt.limits import COMMAND_JSON, MAX_FILENAME_BYTES
from wx2mqtt.model import Button, ChatKind, Json, Status
from wx2mqtt.mqtt.commands import read_request
from wx2mqtt.mqtt.homeassistant_entities import entity_id
from wx2mqtt.mqtt.payloads import REQUEST_CODES, encode, plain_text, result_body
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.names import (
    clean_filename,
    cut_filename,
    display_names,
    extension_of,
    is_harmless,
    printable,
    utf8_size,
)
from wx2mqtt.store.command_records import replies_text, result_text
from wx2mqtt.store.question_records import asking_from_json, asking_to_json, buttons_from_json
from wx2mqtt.wechat.ilink.protocol.endpoints import CAPABILITIES

_LOOP = asyncio.new_event_loop()
_BENCH = ValidationHarness()

# Deliveries


def _run_validation(data: bytes) -> None:
    topics = ("wx/out/wife", "wx/out/wife/image", "wx/bridge/request/send", "wx/bridge/request/recall")
    found = [_BENCH.new(data, topic, response_topic="answers/x", correlation=data[:8]) for topic in topics]
    with suppress(BadCommand):
        fields = read_request(data, COMMAND_JSON)
        found.append(_LOOP.run_until_complete(_BENCH.validator.validate_fields("wife", fields)))
    for new in found:
        assert new.command_id
        assert replies_text(new.replies)
        for publication in new.publications:
            publication.topic.encode()
        if new.result is None:
            assert new.expires is None or new.expires >= new.accepted
            continue
        assert new.result.code in REQUEST_CODES
        assert new.result.code != "internal", new.result.message
        assert new.result.status in {Status.REJECTED, Status.EXPIRED}
        require_json(result_body(new.result, "home"))
        json.loads(result_text(new.result))


def _run_delivery(data: bytes) -> None:
    """Takes the topic and the response topic out of the input too."""
    topic, response_topic, content_type, *_ = [*data.decode("utf-8", "replace").split("\n", 3), "", "", ""]
    full_topic = f"wx/out/{topic}"
    if Topics("wx").parse(full_topic) is None:
        return
    new = _BENCH.new(b"hello", full_topic, response_topic=response_topic, content_type=content_type)
    for publication in new.publications:
        assert not publication.topic.startswith("$")
        encode({"topic": publication.topic})
    if new.result is not None:
        assert new.result.code in REQUEST_CODES
        assert new.result.code != "internal", new.result.message


# Texts

# `str.split` would hold each word as an object of its own.
_WITHOUT_BLANKS = str.maketrans("", "", "".join(filter(str.isspace, map(chr, range(sys.maxunicode + 1)))))


def _escaped_size(text: str) -> int:
    """Returns the size of a text for a backend that escapes `.` everywhere and `e` at the end."""
    return len(text.encode("utf-8", "replace")) + text.count(".") + text.endswith("e")


def _run_split(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for limit in (200, 2000):
        parts = split_text(text, limit)
        assert all(len(part) <= limit for part in parts)
        assert len(text) <= limit or all(part.strip() for part in parts)
        assert "".join(parts).translate(_WITHOUT_BLANKS) == text.translate(_WITHOUT_BLANKS)
    assert all(_escaped_size(part) <= 200 for part in split_text(text, 200, _escaped_size))
    assert split_text(text, None) == (text,)
    parts = split_for(CAPABILITIES, text)
    assert not any(prepare_split(CAPABILITIES, text))
    assert split_for(CAPABILITIES, text) == parts
    assert len(plain_text(text)) <= 200


def _run_questions(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    card = card_in(text)
    assert not card or card_in(card_id(card, 1)) == card
    answer = text[:MAX_ANSWER_CHARACTERS]
    assert answer_form(answer_form(answer)) == answer_form(answer)
    with suppress(ValueError, RecursionError):
        value = json.loads(data)
        buttons = buttons_from_json(value)
        assert all(isinstance(button.text, str) and isinstance(button.key, str) for button in buttons)
        asked_by = asking_from_json(value)
        assert asked_by is None or asking_from_json(asking_to_json(asked_by)) == asked_by
    parts = split_question(CAPABILITIES, text, (_YES, _NO))
    assert parts[-1].endswith(button_lines((_YES, _NO)))


_YES, _NO = Button(text="Yes", key="yes"), Button(text="No", key="no")
_QUESTION_SEEDS = (
    b"wx2mqtt-12345-1",
    "\uff11".encode(),
    b" YES ",
    b'[{"text": "Yes", "key": "yes"}, {"text": "No", "key": "no"}]',
    b'{"account": "home", "row_id": 7, "command_id": "door-7", "user": "me"}',
)
_LONG_TEXT = (
    "Heating is on. 温度是21度。See https://example.org/a?b=c#d, and more…\n\nSecond paragraph: “quoted.” Next! "
    "👨‍👩‍👧 🇩🇪🇫🇷 e\u0301 end."
)
_SPLIT_WORDS = (
    *(
        " ",
        "\n",
        "\n\n",
        "\n \n",
        ". ",
        "。",
        "!",
        "?",
        ";",
        "…",
        ",",
        "、",
        "”",
        "’",
        ")",
        "https://a/",
        "://",
        "a",
    ),
    *("👨‍👩‍👧", "🇩🇪", "\u0301", "\u200d", "\u3000", "\r\n", "x" * 70),
)


def _text(random: Random) -> bytes:
    count = random.randrange(1, 300)
    return "".join(random.choice(_SPLIT_WORDS) * random.choice((1, 1, 2, 30)) for _ in range(count)).encode()


def _large_text(random: Random) -> bytes:
    unit = "".join(random.choice(_SPLIT_WORDS) for _ in range(random.choice((1, 1, 2, 3, 10))))
    return (unit * (LARGE_BYTES // len(unit.encode()) + 1)).encode()


# Files in commands


def _run_files(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        decoded = b"".join(attachment_checks.decode_base64(text))
    except BadCommand as bad:
        check_refusal(bad)
    else:
        assert len(decoded) <= len(text)
    topics = ("wx/out/wife/image", "wx/out/wife/video", "wx/out/wife/file/<name>")
    check_refusal(attachment_checks.bytes_as_text_error(data, topics))
    with suppress(BadCommand):
        attachment_checks.reject_text_as_bytes("image", data, "wx/out/wife")
    name = attachment_checks.filename_of(text)
    assert "/" not in name
    assert utf8_size(name) <= MAX_FILENAME_BYTES
    chosen = attachment_checks.choose_filename("", text, "image", ".jpg")
    assert chosen
    try:
        attachment_checks.check_filename(text)
    except BadCommand as bad:
        check_refusal(bad)
    else:
        assert "/" not in text
        assert all(map(is_harmless, text))
    cleaned = clean_filename(text)
    assert clean_filename(cleaned) == cleaned
    assert utf8_size(cut_filename(cleaned)) <= MAX_FILENAME_BYTES
    extension_of(text)


_FILE_SEEDS = (
    b"/9j/4AAQSkZJRg==",
    b"report.pdf",
    b"/srv/share/a.pdf",
    b"R&D <1>.txt",
    b"aGVs\nbG8=",
    b"..",
)

# Paths: the file that is opened is below the folder


class _SharedFolder:
    """A folder with files, folders and links, made once."""

    def __init__(self) -> None:

        self._temporary = tempfile.TemporaryDirectory(prefix="fuzz-")
        self.root = Path(self._temporary.name)
        self.shared = self.root / "shared"
        (self.shared / "inner").mkdir(parents=True)
        (self.shared / "a.txt").write_text("a")
        (self.shared / "inner" / "b.txt").write_text("b")
        (self.root / "secret").write_text("secret")
        (self.shared / "link").symlink_to(self.root / "secret")
        (self.shared / "loop").symlink_to(self.shared / "loop")
        (self.shared / "up").symlink_to("..")


_FOLDER: list[_SharedFolder] = []


def _run_path(data: bytes) -> None:

    if not _FOLDER:
        _FOLDER.append(_SharedFolder())
    folder = _FOLDER[0]
    text = data.decode("utf-8", "replace")
    for path in (text, f"{folder.shared}/{text}"):
        try:
            descriptor = open_file(path, (folder.shared,))
        except BadCommand as bad:
            check_refusal(bad)
            continue
        try:
            real = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        finally:
            os.close(descriptor)
        assert real.startswith(f"{os.path.realpath(folder.shared)}/"), real


_PATHS = (
    b"a.txt",
    b"inner/b.txt",
    b"inner/../a.txt",
    b"link",
    b"up/secret",
    b"loop",
    b"../secret",
    b"/etc/passwd",
    b"",
)

# Names


def _run_names(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    names = text.split("\n")[:8]
    for style in ("native", "pinyin")[: 1 + (len(data) < 200)]:
        used: set[str] = set()
        hints: dict[str, int] = {}
        for name in names:
            for kind in (ChatKind.FRIEND, ChatKind.GROUP):
                level = topic_names.unique_topic_name([name], kind, style, used.__contains__, hints)  # type: ignore[arg-type]
                require_safe_level(level)
                assert level not in used
                used.add(level)
        ids: set[str] = set()
        for level in used:
            new_id = entity_id(level, ids)
            assert new_id.isascii()
            assert new_id.replace("_", "a").isalnum()
            assert new_id not in ids
            ids.add(new_id)
    display_names(dict(enumerate(names)))  # type: ignore[arg-type]
    evidence.normalize_text(text).encode()
    cleaned = topic_names.clean_topic_name(text)
    assert topic_names.clean_topic_name(cleaned) == cleaned
    topic_names.cut_topic_name(cleaned, 64)
    directory.matching_entries([], text)
    assert directory.is_in_a_name(text.casefold(), [text])


_NAMES = (
    "老婆".encode(),
    "晓梅\nBob\nfilehelper".encode(),
    "👨‍👩‍👧 family".encode(),
    "e\u0301mile\né".encode(),
    b"a/b+c#d$",
    b"$SYS",
)

# The control socket


async def _run_operation(name: str, fields: Mapping[str, Json]) -> Json:
    if name == "fail":
        raise Wx2MqttError("a sentence")
    return {"do": name, "fields": dict(fields)}


def _run_control(data: bytes) -> None:
    answer = _LOOP.run_until_complete(control_socket._answer(data, _run_operation))
    json.dumps(answer)
    assert set(answer) in ({"ok"}, {"error"})
    if "error" in answer:
        assert isinstance(answer["error"], str)


_OPERATIONS = (
    b'{"do": "list", "all": true}',
    b'{"do": "fail"}',
    b'{"do": "show", "id": "a", "x": [1, {"y": null}]}',
)

# Logs

_PLANTED = "Zq7PLANTEDsecretVALUE0123"


def _run_redaction(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    assert _PLANTED not in redaction.redact(f"{text}\npassword={_PLANTED}")
    line = printable(text)
    assert line.isprintable() or not line
    redaction.clean_traceback(text).encode()
    with suppress(ValueError, RecursionError):
        value = json.loads(data)
        for message_text in (True, False):
            json.dumps(redaction.redact_value("fields", value, message_text=message_text))
            assert redaction.redact_value("skey", [_PLANTED], message_text=message_text) != [_PLANTED]


_LOGGED = (
    b'GET /cgi-bin/mmwebwx-bin/webwxinit?skey=@crypt_1_2&pass_ticket=a%2Bb&sid=S uin=211722515 "password": "x"',
    b"<skey>@crypt_1</skey> Cookie: wxuin=1; wxsid=2\nAuthorization: Bearer abcdef0123 mqtt://user:pass@host:1883",
    b'{"text": "hello", "token": "T", "nested": [{"skey": "x", "n": 1}], "url": "https://liteapp.weixin.qq.com/q/7GiQu1"}',
    b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v",
)
_LOG_WORDS = (
    "skey=",
    "password: ",
    '"token": "',
    "cookie: ",
    "://",
    "@",
    "%40qrticket_1",
    "@crypt_",
    "Bearer ",
    "<sid>",
    "/c2c/download?",
    "A1b" * 20,
    "/l/",
)


TARGETS = (
    Target(
        name="bridge.commands",
        run=_run_validation,
        parsers=(
            "bridge.commands.validation:CommandValidator.validate_command",
            "bridge.commands.validation:CommandValidator.validate_request",
            "bridge.commands.validation:CommandValidator.validate_fields",
            "bridge.repeats:payload_fingerprint",
            "mqtt.commands:pop_transaction",
            "mqtt.commands:transaction_echo",
            "external.url_fetch:parse_url",
        ),
        seeds=(*_COMMANDS, *_TEXTS),
        generate=either(mutated_json(_COMMANDS, _KEYS), mutated(_TEXTS, _KEYS)),
        grow=either(grown_json(_COMMANDS, _KEYS), _large_command),
        cost_factor=6.0,
        memory_factor=2.0,
    ),
    Target(
        name="bridge.deliveries",
        run=_run_delivery,
        parsers=(
            "bridge.commands.validation:CommandValidator.validate_command",
            "mqtt.topics:response_topic_allowed",
        ),
        seeds=(b"wife\nanswers/x\ntext/plain", b"wife/file/a.pdf\n\napplication/json", b"wife/image"),
        generate=mutated(
            (b"wife\nanswers/x\ntext/plain", b"wife/file/a.pdf"),
            ("/", "\n", "image", "wx/", "homeassistant/", "$SYS"),
        ),
        grow=grown((b"wife\nanswers/x\ntext/plain",), ("/", "a", "é")),
        memory_factor=4.0,
    ),
    Target(
        name="bridge.text_split",
        run=_run_split,
        parsers=(
            *("bridge.text_split:split_text", "bridge.text_split:prepare_split"),
            *("bridge.text_split:Addresses.begin_around", "bridge.text_split:is_within_character"),
            "mqtt.payloads:plain_text",
        ),
        seeds=(_LONG_TEXT.encode(), (_LONG_TEXT * 20).encode()),
        generate=_text,
        grow=either(_large_text, grown((_LONG_TEXT.encode(),), _SPLIT_WORDS)),
        cost_factor=4.0,
    ),
    Target(
        name="bridge.questions",
        run=_run_questions,
        parsers=(
            *("bridge.possible_answers:card_id", "bridge.possible_answers:card_in"),
            *("bridge.text_split:split_question", "store.question_records:buttons_from_json"),
            "store.question_records:asking_from_json",
        ),
        seeds=_QUESTION_SEEDS,
        generate=mutated(_QUESTION_SEEDS, ("1", "wx2mqtt-", "-", "\uff12", "yes", '"', "{", "[", "e\u0301")),
        grow=grown(_QUESTION_SEEDS, ("1", "yes", '{"text": "a", "key": "b"},', "\uff12", "e\u0301")),
        cost_factor=4.0,
    ),
    Target(
        name="bridge.files",
        run=_run_files,
        parsers=(
            *(
                f"bridge.attachment_checks:{name}"
                for name in (
                    *("decode_base64", "check_filename", "filename_of", "choose_filename"),
                    *("bytes_as_text_error", "reject_text_as_bytes"),
                )
            ),
            *(
                f"names:{name}"
                for name in ("clean_filename", "cut_filename", "extension_of", "is_harmless", "utf8_size")
            ),
        ),
        seeds=_FILE_SEEDS,
        generate=mutated(_FILE_SEEDS, (".", "/", "=", "AAAA", "\u202e", "\n", ".pdf")),
        grow=grown(_FILE_SEEDS, (".", "/", "=", "AAAA", "\n", "é")),
        cost_factor=4.0,
        memory_factor=3.0,  # each emoji of a name is a text of 80 bytes meanwhile; commands have 8,192 at most
    ),
    Target(
        name="external.paths",
        run=_run_path,
        parsers=("external.local_files:open_file",),
        seeds=_PATHS,
        generate=mutated(_PATHS, ("/", "..", "../", "a.txt", "inner", "link", "up", "loop", "shared", "\0")),
        grow=grown(_PATHS, ("/", "../", "inner/", "up/", "a")),
        memory_factor=4.0,
    ),
    Target(
        name="bridge.names",
        run=_run_names,
        parsers=(
            *(
                f"bridge.people.topic_names:{name}"
                for name in (
                    "unique_topic_name",
                    "base_topic_name",
                    "numbered_topic_name",
                    "clean_topic_name",
                    "cut_topic_name",
                )
            ),
            "bridge.people.evidence:normalize_text",
            *(f"bridge.people.directory:{name}" for name in ("matching_entries", "is_in_a_name")),
            *("mqtt.homeassistant_entities:entity_id", "names:display_names"),
        ),
        seeds=_NAMES,
        generate=mutated(_NAMES, ("\n", "\u200d", "\ufe0f", "\u0301", "$", "-2", "filehelper", "重", "é")),
        grow=grown(_NAMES, ("\u0301", "\u200d", "\n", "a", "é", "重")),
        cost_factor=12.0,
        memory_factor=6.0,  # three names side by side, each normalized
    ),
    Target(
        name="app.control_socket",
        run=_run_control,
        parsers=("app.control_socket:_answer",),
        seeds=_OPERATIONS,
        generate=mutated_json(_OPERATIONS, ("do", "list", "fail", "id")),
        grow=grown_json(_OPERATIONS, ("do", "id")),
        cost_factor=2.0,
    ),
    Target(
        name="app.redaction",
        run=_run_redaction,
        parsers=tuple(f"app.redaction:{name}" for name in ("redact", "redact_value", "clean_traceback")),
        seeds=_LOGGED,
        generate=mutated(_LOGGED, _LOG_WORDS),
        grow=grown(_LOGGED, _LOG_WORDS),
        cost_factor=2.0,
        memory_factor=7.0,  # printable joins an escape for each sign; log lines are cut before
    ),
)
