"""The table of kinds in docs/en/reference/kinds.md matches what is read and what can be sent."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from tests.support.rows import every_row
from tests.unit.wechat.webwx.entries import WIFE, entry, roster
from wx2mqtt.model import Kind, Message
from wx2mqtt.simulator.message_kinds import all_kinds, build
from wx2mqtt.simulator.message_spec import MessageDetails
from wx2mqtt.simulator.world import WorldPerson
from wx2mqtt.wechat.webwx.protocol import messages
from wx2mqtt.wechat.webwx.protocol.endpoints import CAPABILITIES
from wx2mqtt.wechat.webwx.protocol.locators import MediaCall

PAGE = (Path(__file__).parents[4] / "docs/en/reference/kinds.md").read_text(encoding="utf-8")
FROM_THE_BRIDGE = {("quote", "user")}
FROM_ILINK = {("quote", "self"), ("quote", "command_id"), ("voice", "transcript")}

# Fields that the simulator writes only on demand.
DETAILS: dict[str, dict[str, object]] = {
    "sticker": {"game": 2, "result": 5},
    "app_transfer": {"memo": "rent"},
    "location": {"poi": "Café"},
    "file": {"size": "482133"},
}


def table() -> dict[str, list[str]]:
    lines = [line for line in PAGE.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("` "): row for row in cells}


def simulated_messages() -> list[Message]:
    """Returns one message of each kind that the simulator can write."""
    found = []
    for number, kind in enumerate(all_kinds()):
        text = "" if kind.startswith("system") else "words"
        details = MessageDetails(language="zh_CN", values=DETAILS.get(kind, {}))
        fields = build(
            kind, text, 7615282929538795099 + number, WorldPerson(id="wife", nickname="老婆"), details
        )
        sample = entry(**{"FromUserName": WIFE, "ImgStatus": 2, **fields})
        item = messages.read_message(sample, roster(), "en", 0)
        if isinstance(item, Message):
            found.append(item)
    return found


MESSAGES = simulated_messages()


def test_every_kind_has_a_row_and_comes() -> None:
    assert set(table()) == set(Kind) == {message.kind for message in MESSAGES}


@every_row("kind", Kind)
def test_the_detail_of_each_kind_has_the_documented_keys(kind: Kind) -> None:
    documented = set(re.findall(r"`(\w+)`", table()[kind][2]))
    known: set[str] = set()
    for message in MESSAGES:
        if message.kind is kind:
            known |= set(message.detail)
    assert known == {key for key in documented if (kind, key) not in FROM_THE_BRIDGE | FROM_ILINK}


@every_row("kind", Kind)
def test_the_kinds_with_media_are_documented(kind: Kind) -> None:
    cell = table()[kind][3]
    has_media = {message.media is not None for message in MESSAGES if message.kind is kind}
    has_thumbnail = {message.thumbnail is not None for message in MESSAGES if message.kind is kind}
    assert (True in has_media) is ("whole" in cell or "MP3" in cell)
    assert (True in has_thumbnail) is ("`thumbnail`" in cell)


@every_row("kind", Kind)
def test_the_kinds_that_can_be_sent_are_documented(kind: Kind) -> None:
    cell = table()[kind][4]
    sendable = kind is Kind.TEXT or kind in CAPABILITIES.media
    assert sendable is (cell not in {"", "as a file"})
    for mime in CAPABILITIES.media[kind].mime_types if kind in CAPABILITIES.media else ():
        assert mime.rpartition("/")[2].upper().replace("X-MS-BMP", "BMP") in cell


def test_every_way_to_fetch_bytes_is_used() -> None:
    calls = defaultdict(set)
    for message in MESSAGES:
        for ref in (message.media, message.thumbnail):
            if ref is not None:
                calls[ref.locator["call"]].add(message.kind)
    assert set(calls) == {str(call) for call in MediaCall} - {"avatar", "group_avatar"}
