"""The judge finds each broken promise in evidence that a test makes up, and nothing in correct evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.evidence import (
    AccountEvidence,
    DisruptionRecord,
    Publication,
    PublishedChange,
    PublishedCommand,
    PublishedQuestion,
    UserAnswer,
)
from tests.chaos.judge import MAX_REPEATED_MESSAGES, judge, repeats_by_kind
from tests.chaos.unstored_messages import ConnectionLog, Gap, WrittenMessage

KILL = DisruptionRecord(kind="kill", began=10.0, ended=10.1, single=True)


def message(seq: int, *, at: float = 1.0, user: str = "wife", **body: Any) -> Publication:
    whole = {"seq": seq, "id": f"m{seq}", "user": user, "text": f"text {seq}", **body}
    return Publication(topic=f"wx/in/{user}", payload=json.dumps(whole).encode(), at=at)


def result(command_id: str, *, user: str = "wife", **body: Any) -> Publication:
    whole = {
        "id": command_id, "status": "sent", "duplicate_possible": False, "message_id": f"s{command_id}", **body,
    }  # fmt: skip
    return Publication(topic=f"wx/result/{user}", payload=json.dumps(whole).encode())


def delivery(number: int, command_id: str, **more: Any) -> dict[str, Any]:
    return {
        "n": number, "text": f"do {command_id}", "sha256": "", "delivered": True, "msg_id": f"s{command_id}",
        "client_msg_id": f"key of {command_id}", **more,
    }  # fmt: skip


def correct_evidence() -> AccountEvidence:
    """Returns the evidence of three messages and two commands, all correct."""
    said = [f"m{seq}" for seq in (1, 2, 3)]
    return AccountEvidence(
        name="home",
        base="wx",
        levels={"wife": "wife", "mom": "mom"},
        logs=[{"active": True, "messages": said, "confirmed": 2}],
        lines=[
            {"msg_id": f"m{seq}", "chat": "wife", "kind": "text", "text": f"text {seq}"} for seq in (1, 2, 3)
        ],
        sent=[delivery(1, "c1"), delivery(2, "c2")],
        publications=[message(1), message(2), message(3), result("c1"), result("c2")],
        history=[{"seq": seq, "id": f"m{seq}"} for seq in (1, 2, 3)],
        commands=[
            PublishedCommand(id=name, user="wife", content=f"do {name}", publisher="p")
            for name in ("c1", "c2")
        ],
    )


def with_publications(*publications: Publication) -> Callable[[AccountEvidence], AccountEvidence]:
    return lambda account: replace(account, publications=publications)


def with_more_publications(*publications: Publication) -> Callable[[AccountEvidence], AccountEvidence]:
    return lambda account: replace(account, publications=[*account.publications, *publications])


def sent(*lines: dict[str, Any]) -> Callable[[AccountEvidence], AccountEvidence]:
    return lambda account: replace(account, sent=lines)


def bundle(*texts: str, bundled: int) -> Callable[[AccountEvidence], AccountEvidence]:
    """Both commands arrive in one message, and their results say so."""
    line = delivery(1, "c1", text="\n\n".join(texts))
    results = [result(name, message_id="sc1", bundled=bundled) for name in ("c1", "c2")]
    return lambda account: replace(account, sent=[line], publications=[*MESSAGES, *results])


def bundle_before_a_file(account: AccountEvidence) -> AccountEvidence:
    """A file whose command came first arrives after the texts."""
    account = bundle("do c1", "do c2", bundled=2)(account)
    file = delivery(2, "c0", text="", sha256="digest")
    command = PublishedCommand(id="c0", user="wife", content="digest", publisher="p")
    return replace(
        account,
        sent=[*account.sent, file],
        publications=[*account.publications, result("c0")],
        commands=[command, *account.commands],
    )


def created(*groups: str, status: str = "ok", **more: Any) -> Callable[[AccountEvidence], AccountEvidence]:
    """An automation asked for the group G1 and got this answer, and WeChat has these groups."""
    answer = {"transaction": "x1", "status": status}
    response = Publication(topic="wx/bridge/response/group", payload=json.dumps(answer).encode())
    change = PublishedChange(transaction="x1", name="group", group="G1", **more)
    return lambda account: replace(
        account, publications=[*account.publications, response], changes=[change], groups=groups
    )


def befriended(*friends: str) -> Callable[[AccountEvidence], AccountEvidence]:
    """The answer to `accept_friend` of the stranger S1 is `ok`, and these are the friends at WeChat."""
    answer = {"transaction": "x1", "status": "ok"}
    response = Publication(topic="wx/bridge/response/accept_friend", payload=json.dumps(answer).encode())
    change = PublishedChange(transaction="x1", name="accept_friend", friend="S1")
    return lambda account: replace(
        account, publications=[*account.publications, response], changes=[change], friends=friends
    )


RESULTS = (result("c1"), result("c2"))
MESSAGES = (message(1), message(2), message(3))


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (with_publications(message(1), message(2), *RESULTS), {"lost"}),
        (lambda account: replace(account, history=account.history[:2]), {"lost"}),
        (with_more_publications(message(5, id="m3")), {"lost", "identity"}),
        (with_more_publications(message(3, text="other")), {"identity"}),
        (with_publications(*MESSAGES, message(4, id="m3"), *RESULTS), {"identity"}),
        (with_publications(message(1), message(2, user="mom"), message(3), *RESULTS), {"identity"}),
        (with_publications(message(2), message(1), message(3), *RESULTS), {"order"}),
        (with_publications(message(1), message(2, id="m3", text="text 3"), message(3, id="m2", text="text 2")), {"order"}),
        (with_more_publications(message(4, id="nobody")), {"strange"}),
        (with_more_publications(message(4, id="sc1")), {"own"}),
        (with_publications(*MESSAGES, result("c1")), {"result"}),
        (with_more_publications(result("c1", status="failed")), {"result"}),
        (sent(delivery(1, "c1")), {"result"}),
        (with_publications(*MESSAGES, result("c1", status="expired", message_id=None), result("c2")), {"result"}),
        (sent(delivery(1, "c1"), delivery(2, "c1"), delivery(3, "c2")), {"repeat"}),
        (sent(delivery(1, "c2"), delivery(2, "c1")), {"order"}),
        (sent(delivery(1, "c1"), delivery(2, "c2", client_msg_id="key of c1")), {"identity"}),
        (sent(delivery(1, "c1"), delivery(2, "c1", delivered=False, client_msg_id="x"), delivery(3, "c2")), {"identity"}),
        (sent(delivery(1, "c1"), delivery(2, "c2"), delivery(3, "c3")), {"strange"}),
        (bundle("2 messages were waiting:", "do c1", "do c2", bundled=3), {"result"}),
        (bundle("2 messages were waiting:", "do c2", "do c1", bundled=2), {"order"}),
        (bundle("2 messages were waiting:", "do c1", "do c3", bundled=2), {"strange"}),
        (lambda account: replace(account, requests={"t1": "health"}), {"answer"}),
        (lambda account: replace(account, files={"m1": ("a", "b")}), {"file"}),
        (created("family"), {"change"}),
        (created("G1", "G1 2"), {"change"}),
        (created("G1", "G1", status="error"), {"change"}),
        (befriended("wife"), {"change"}),
    ],
)  # fmt: skip
def test_a_broken_promise_is_found(change, kinds):
    account = change(correct_evidence())
    if not any(publication.topic.startswith("wx/result") for publication in account.publications):
        account = replace(account, publications=[*account.publications, *RESULTS])
    assert kinds <= {finding.kind for finding in judge([account])}


@pytest.mark.parametrize(
    "change",
    [
        lambda account: account,
        with_more_publications(message(2), message(3)),
        with_more_publications(result("c1")),
        lambda account: replace(account, publications=[*MESSAGES[:2], *RESULTS], broker_forgot=True),
        lambda account: replace(
            account, publications=[*MESSAGES[:2], *RESULTS], history=account.history[:2],
            logs=[{"active": False, "messages": ["m1", "m2", "m3"], "confirmed": 2}],
        ),
        lambda account: replace(
            account, sent=[delivery(1, "c1"), delivery(2, "c1"), delivery(3, "c2")],
            publications=[*MESSAGES, result("c1", duplicate_possible=True), result("c2")],
        ),
        lambda account: replace(
            account, sent=[delivery(2, "c2")],
            publications=[*MESSAGES, result("c1", status="uncertain", message_id=None), result("c2")],
        ),
        created("family", "G1 renamed"),
        created("G1", status="error"),
        created("G1", "G1", may_repeat=True),
        befriended("wife", "S1"),
        lambda account: replace(account, levels={}),
        lambda account: replace(account, publications=[*MESSAGES[:2], *RESULTS], history=account.history[:2], event_ids={"m3"}),
        bundle("2 messages were waiting:", "do c1", "do c2", bundled=2),
        bundle("do c1", "do c2", bundled=2),
        bundle_before_a_file,
    ],
)  # fmt: skip
def test_what_the_promises_allow_is_no_finding(change):
    assert judge([change(correct_evidence())]) == []


def test_what_a_forgetful_broker_dropped_must_be_in_the_history():
    account = replace(
        correct_evidence(),
        publications=[*MESSAGES[:2], *RESULTS],
        history=correct_evidence().history[:2],
        broker_forgot=True,
    )
    assert {finding.kind for finding in judge([account])} == {"lost"}


def test_an_own_message_is_allowed_only_of_an_attempt_without_an_answer_and_with_a_wrong_clock():
    results = (result("c1", duplicate_possible=True), result("c2"))
    for command_id, kinds in (("c1", set()), ("c2", {"own"})):
        own = message(4, id=f"s{command_id}")
        account = replace(correct_evidence(), publications=[*MESSAGES, own, *results], clock_was_wrong=True)
        assert {finding.kind for finding in judge([account])} == kinds
        assert {finding.kind for finding in judge([replace(account, clock_was_wrong=False)])} == {"own"}


def test_more_repeats_than_one_window_after_a_kill_are_a_finding():
    count = MAX_REPEATED_MESSAGES + 1
    numbers = range(1, count + 1)
    lines = [{"msg_id": f"m{seq}", "chat": "wife", "kind": "text", "text": f"text {seq}"} for seq in numbers]
    account = replace(
        correct_evidence(),
        lines=lines,
        logs=[{"active": True, "messages": [f"m{seq}" for seq in numbers], "confirmed": count}],
        history=[{"seq": seq, "id": f"m{seq}"} for seq in numbers],
        publications=[
            *(message(seq) for seq in numbers),
            *(message(seq, at=11.0) for seq in numbers),
            *RESULTS,
        ],
    )
    assert repeats_by_kind([account], [KILL]) == {"kill": count}
    assert [finding.kind for finding in judge([account], [KILL])] == ["repeat"]
    fewer = replace(
        account,
        publications=[
            publication
            for publication in account.publications
            if publication.at != 11.0 or b'"m1"' not in publication.payload
        ],
    )
    assert judge([fewer], [KILL]) == []
    assert judge([account], [replace(KILL, kind="broker line cut")]) == []


def test_a_refusal_that_is_said_for_ever_is_a_finding():
    assert judge([replace(correct_evidence(), reason="logged in as 王小明")]) == []
    said = "the configuration file was refused at the last reload, so the settings of before hold"
    assert [finding.kind for finding in judge([replace(correct_evidence(), reason=said)])] == ["reload"]


# WeCom, which acknowledges nothing and keeps nothing


def on_wecom(
    *stored: str, logs: tuple[ConnectionLog, ...], lost: tuple[str, ...] = (), gap: Gap | None = None
) -> AccountEvidence:
    """Returns evidence of WeCom: a person wrote m1, m2 … , one a minute; these are stored, and this gap was published."""
    names = sorted({name for log in logs for name in log.messages} | {*lost})
    return replace(
        correct_evidence(),
        logs=[{"active": log.active, "messages": log.messages, "confirmed": 0} for log in logs],
        connections=logs,
        written=[WrittenMessage(id=name, at=60.0 * int(name[1:]), lost=name in lost) for name in names],
        gaps=[] if gap is None else [gap],
        publications=[*(message(seq, id=name) for seq, name in enumerate(stored, 1)), *RESULTS],
        lines=[
            {"msg_id": name, "chat": "wife", "kind": "text", "text": f"text {seq}"}
            for seq, name in enumerate(stored, 1)
        ],
        history=[{"seq": seq, "id": name} for seq, name in enumerate(stored, 1)],
    )


BEFORE = ConnectionLog(active=False, messages=("m1", "m2", "m3"), answered=("m1",))
NOW = ConnectionLog(active=True, messages=("m5", "m6"))
ALL = ("m1", "m2", "m3", "m5", "m6")
AFTER_THE_FIRST = Gap(since=110.0, until=250.0)


@pytest.mark.parametrize(
    ("evidence", "kinds"),
    [
        (on_wecom(*ALL, logs=(BEFORE, NOW)), set()),
        (on_wecom("m1", "m5", "m6", logs=(BEFORE, NOW), gap=AFTER_THE_FIRST), set()),
        (on_wecom(*ALL, logs=(BEFORE, NOW), lost=("m4",), gap=AFTER_THE_FIRST), set()),
        (on_wecom(*ALL, logs=(BEFORE, NOW), lost=("m4",)), {"lost"}),
        (on_wecom(*ALL, logs=(BEFORE, NOW), lost=("m4",), gap=Gap(since=110.0, until=200.0)), {"lost"}),
        (on_wecom("m1", "m5", "m6", logs=(BEFORE, NOW)), {"lost"}),
        (on_wecom("m1", "m3", "m5", "m6", logs=(BEFORE, NOW), gap=AFTER_THE_FIRST), {"lost"}),
        (on_wecom("m1", "m2", "m3", "m5", logs=(BEFORE, NOW)), {"lost"}),
        (on_wecom("m5", "m6", logs=(BEFORE, NOW), gap=Gap(since=0.0, until=250.0)), {"receipt"}),
    ],
)
def test_of_a_service_that_keeps_nothing_a_gap_excuses_what_was_not_stored_and_nothing_else(evidence, kinds):
    assert {finding.kind for finding in judge([evidence])} == kinds


# Questions


def answered(message_id: str = "m3", *, key: str = "yes", **more: Any) -> Publication:
    body = {
        "id": "button:c1",
        "command_id": "c1",
        "user": "wife",
        "key": key,
        "message_id": message_id,
        **more,
    }
    return Publication(topic="wx/event/button", payload=json.dumps(body).encode())


def evidence_of_question(*publications: Publication) -> AccountEvidence:
    """The command c1 was a question, whose answer was the message m3, and the subscriber saw these."""
    question = PublishedQuestion(
        command_id="c1", user="wife", text="do c1", keys={"Yes": "yes", "No": "no"}, choice="Yes", method="text",
        answers=[UserAnswer(key="yes", message_id="m3")],
    )  # fmt: skip
    shown = [delivery(1, "c1", text="do c1\n1 Yes\n2 No"), delivery(2, "c2")]
    return replace(
        correct_evidence(),
        questions=[question],
        sent=shown,
        publications=[*MESSAGES[:2], *RESULTS, *publications],
    )


MARKED = message(3, button={"command_id": "c1", "key": "yes"})


def test_one_answer_to_a_question_is_well_also_when_it_is_published_again():
    assert judge([evidence_of_question(MARKED, answered(), answered())]) == []
    assert judge([replace(evidence_of_question(message(3)), broker_forgot=True)]) == []


@pytest.mark.parametrize(
    "publications",
    [
        (message(3),),
        (MARKED, answered(), answered(id="button:c1:2")),
        (MARKED, answered(key="no")),
        (MARKED, answered("m2")),
        (MARKED, answered(user="mom")),
        (MARKED, answered(), answered("m1", command_id="c2", id="button:c2")),
        (message(3), answered()),
        (MARKED,),
    ],
)
def test_a_wrong_answer_to_a_question_is_seen(publications):
    assert {finding.kind for finding in judge([evidence_of_question(*publications)])} == {"button"}


def test_a_question_whose_buttons_are_not_shown_is_what_nobody_asked_for():
    account = replace(
        evidence_of_question(MARKED, answered()),
        sent=[delivery(1, "c1", text="do c1\n1 Yes"), delivery(2, "c2")],
    )
    assert "strange" in {finding.kind for finding in judge([account])}
