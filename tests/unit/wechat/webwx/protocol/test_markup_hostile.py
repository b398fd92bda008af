"""Malicious XML takes little time and memory in every field that may hold it (webwx 3.3.6)."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable
from functools import cache

import pytest

from tests.support.rows import every_row
from tests.unit.wechat.webwx.entries import FAMILY, WIFE, entry, escaped, roster
from wx2mqtt.model import Event, Message
from wx2mqtt.wechat.webwx.protocol import markup, messages

MEGABYTE = 1 << 20
MAX_COST = 25  # in times of what the reference costs on this machine at this moment; 5 are usual
REFERENCE_READS = 10
REFERENCE = "<msg>" + "<a>x</a>" * 10_000 + "</msg>"
MEMORY = 48 * MEGABYTE  # for a message of a megabyte, which is the largest that is looked into

ENTITIES = "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
DTD = f'<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">{ENTITIES}]>'
QUADRATIC = f'<!DOCTYPE l [<!ENTITY a "{"a" * 50_000}">]><msg>{"&a;" * 50_000}</msg>'

REFUSED = {
    "billion laughs": f"{DTD}<msg>&j;</msg>",
    "behind a declaration": f'<?xml version="1.0"?>\n{DTD}<msg>&j;</msg>',
    "behind comments": f"\ufeff{'<!--<a>-->' * 5000}{DTD}<msg>&j;</msg>",
    "behind instructions": f"{'<?a <b> ?>' * 5000}{DTD}<msg>&j;</msg>",
    "quadratic": QUADRATIC,
    "a file": '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><msg>&e;</msg>',
    "an address": '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><msg/>',
    "parameter entities": '<!DOCTYPE x [<!ENTITY % e SYSTEM "file:///etc/hostname">%e;]><msg/>',
    "open comments": "<!---->" * 3000 + "<!--",
    "an open tag": "<" + "a" * (MEGABYTE - 1),
    "nothing but line breaks": "<br/>" * 200_000,
    "emoji without end": '<span class="emoji emoji1f604">' * 33_000,
    "blanks behind an emoji": '<span class="emoji emoji1f604">' + " " * 1_000_000,
    "too deep": "<a>" * 150_000,
    "too many": "<msg>" + "<a/>" * 60_000 + "</msg>",
    "too large": "<msg>" + "x" * (9 * MEGABYTE) + "</msg>",
    "too large, escaped": "&lt;msg&gt;" + "&amp;" * (2 * MEGABYTE),
    "unknown entities": "<msg>" + "&x;" * 300_000 + "</msg>",
}
READ = {
    "deep": "<a>" * 19_999 + "</a>" * 19_999,
    "wide": "<msg>" + "<a/>" * 19_998 + "</msg>",
    "attributes": "<msg " + " ".join(f'a{n}=""' for n in range(95_000)) + "/>",
    "namespaces": "<msg " + " ".join(f'xmlns:n{n}="u{n}"' for n in range(40_000)) + "/>",
    "ampersands": "<msg>" + "&" * 1_000_000 + "</msg>",
    "character references": "<msg>" + "&#65;" * 200_000 + "</msg>",
    "pieces of text": "<msg>" + "<![CDATA[x]]>" * 19_000 + "</msg>",
    "wide characters": "<msg>" + "\U0001f600" * 1_000_000 + "</msg>",
    "a DTD that is only talked about": "<msg><![CDATA[<!DOCTYPE html>]]></msg>",
    "another encoding": '<?xml version="1.0" encoding="utf-7"?><msg/>',
}


def within_time(work: Callable[[], object]) -> object:
    """Returns what `work` returns."""
    took, found = cpu_seconds(work)
    if took >= MAX_COST * first_reference_seconds():  # the processor may have become slower since
        reference = reference_seconds()
        took, found = cpu_seconds(work)
        assert took < MAX_COST * reference
    return found


def within_bounds(work: Callable[[], object]) -> object:
    """Returns what `work` returns. Runs it twice: tracing memory makes it several times as slow."""
    found = within_time(work)
    tracemalloc.start()
    try:
        work()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY
    return found


@cache
def first_reference_seconds() -> float:
    return reference_seconds()


def reference_seconds() -> float:
    return cpu_seconds(lambda: [markup.parse_xml(REFERENCE) for _ in range(REFERENCE_READS)])[0]


def cpu_seconds(work: Callable[[], object]) -> tuple[float, object]:
    gc.disable()  # a collection costs as much as all other tests have left in memory
    try:
        started_at = time.process_time()
        found = work()
        return time.process_time() - started_at, found
    finally:
        gc.enable()


@pytest.mark.parametrize("attack", REFUSED)
def test_malicious_xml_is_read_as_nothing(attack: str) -> None:
    assert not within_bounds(lambda: markup.parse_xml(REFUSED[attack]))
    assert not within_bounds(lambda: markup.parse_plain_xml(REFUSED[attack]))


@pytest.mark.parametrize("burden", READ)
def test_large_xml_is_read_within_bounds(burden: str) -> None:
    assert within_bounds(lambda: markup.parse_xml(READ[burden]))


@pytest.mark.parametrize("attack", ["billion laughs", "quadratic", "a file", "behind comments"])
def test_escaped_malicious_xml_is_read_as_nothing(attack: str) -> None:
    assert not within_bounds(lambda: markup.parse_xml(escaped(REFUSED[attack])))


SORTS = [1, 37, 42, 47, 49, 10002]  # those that look into it; 1 is a place here


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("attack", [*REFUSED, *READ])
def test_every_kind_of_message_is_read_within_bounds(sort: int, attack: str) -> None:
    source = (REFUSED | READ)[attack]
    hostile = entry(
        MsgType=sort,
        SubMsgType=48 if sort == 1 else 0,
        FromUserName=FAMILY,
        Content=f"{WIFE}:<br/>{source}",
        OriContent=f"<location{source}",
    )
    # All kinds hand the same text to the same reader, so its memory is measured with one of them.
    bounds = within_bounds if sort == SORTS[-1] else within_time
    found = bounds(lambda: messages.read_message(hostile, roster(), "en", 0))
    assert found is None or isinstance(found, Message | Event)


NESTED = {
    "a record": f"<appmsg><type>19</type><recorditem><![CDATA[{DTD}<a>&j;</a>]]></recorditem></appmsg>",
    "a deep record": f"<appmsg><type>19</type><recorditem><![CDATA[{READ['deep']}]]></recorditem></appmsg>",
    "a quote": f"<appmsg><type>57</type><refermsg><type>49</type><content><![CDATA[{DTD}<a>&j;</a>]]></content>"
    "</refermsg></appmsg>",
    "a long quote": f"<appmsg><type>57</type><refermsg><type>1</type><content>{'&amp;lt;' * 100_000}</content>"
    "</refermsg></appmsg>",
    "many articles": "<appmsg><type>5</type><mmreader><category>"
    + "<item><title>x</title></item>" * 4000
    + "</category></mmreader></appmsg>",
}


@pytest.mark.parametrize("attack", NESTED)
def test_xml_within_xml(attack: str) -> None:
    hostile = entry(MsgType=49, Content=f"<msg>{NESTED[attack]}</msg>")
    found = within_bounds(lambda: messages.read_message(hostile, roster(), "en", 0))
    assert isinstance(found, Message)
    assert len(str(found.detail)) < 2 * MEGABYTE


SYSMSG = {
    "variables": "<x><template>" + "$a$" * 100_000 + "</template></x>",
    "open variables": "<x><template>" + "${" * 200_000 + "</template></x>",
    "links": "<x><template>$a$</template><link_list>" + '<link name="a"/>' * 9000 + "</link_list></x>",
    "quotation marks": "<revokemsg><replacemsg>" + "“" * 1_000_000 + "</replacemsg></revokemsg>",
}


@pytest.mark.parametrize("attack", SYSMSG)
@pytest.mark.parametrize("sort", ["x", "revokemsg"])
def test_system_xml(attack: str, sort: str) -> None:
    hostile = entry(MsgType=10002, Content=f'<sysmsg type="{sort}">{SYSMSG[attack]}</sysmsg>')
    within_bounds(lambda: messages.read_message(hostile, roster(), "en", 0))


@every_row(
    "text", ["red packet " * 90_000, "<a " * 300_000, "“" * 1_000_000, '"a" invited ' * 80_000, "@" * 500_000]
)
@every_row("sort", [1, 10000])
def test_texts_of_megabytes(text: str, sort: int) -> None:
    hostile = entry(MsgType=sort, FromUserName=FAMILY, Content=f"{WIFE}:<br/>{text}")
    within_bounds(lambda: messages.read_message(hostile, roster(), "en", 0))
