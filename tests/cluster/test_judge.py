"""The judge of several instances sees what a test plants into a record, and nothing in one that is well."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.chaos.evidence import AccountEvidence, GivenCommand, Publication
from tests.cluster.environment import client_id_of, sessions_of
from tests.cluster.evidence import Call, ClusterBlow, ClusterEvidence, Session
from tests.cluster.judge import judge_cluster, moves
from tests.cluster.network import Passage

A, B = "127.0.1.1", "127.0.1.2"
INF = float("inf")

KILL = ClusterBlow(kind="kill", began=10.0, ended=20.0, since=10.0, allowed=10.0, lost=frozenset({"a00"}))
HUNG = ClusterBlow(
    kind="SIGSTOP 20 s", began=10.0, ended=30.0, since=10.0, allowed=20.0, lost=frozenset({"a00"}),
    victim=A, silent=frozenset({A}),
)  # fmt: skip


def call(machine: str, name: str, began: float, ended: float | None = None, account: str = "a00") -> Call:
    return Call(
        account=account,
        machine=machine,
        name=name,
        began=began,
        ended=began + 0.1 if ended is None else ended,
    )


def session(machine: str, began: float, ended: float = INF) -> Session:
    return Session(client_id="wx2mqtt-a00", machine=machine, began=began, ended=ended)


def publication(topic: str, **body: object) -> Publication:
    return Publication(topic=f"wx/a00/{topic}", payload=json.dumps(body).encode())


def message(seq: int) -> Publication:
    return publication("in/me", seq=seq, id=f"m{seq}", user="me", text=f"text {seq}")


def result(command_id: str, *, duplicate_possible: bool = False) -> Publication:
    return publication(
        "result/me", id=command_id, status="sent", duplicate_possible=duplicate_possible,
        message_id=f"s{command_id}",
    )  # fmt: skip


def delivery(number: int, command_id: str) -> dict[str, object]:
    return {
        "n": number, "text": f"do {command_id}", "sha256": "", "delivered": True,
        "msg_id": f"s{command_id}", "client_id": f"key of {command_id}",
    }  # fmt: skip


def account(*seen: Publication) -> AccountEvidence:
    """Three messages and two commands of one account."""
    said = [f"m{seq}" for seq in (1, 2, 3)]
    return AccountEvidence(
        name="a00",
        base="wx/a00",
        levels={"me": "me"},
        logs=[{"active": True, "messages": said, "confirmed": 2}],
        lines=[{"msg_id": f"m{n}", "person": "me", "kind": "text", "text": f"text {n}"} for n in (1, 2, 3)],
        sent=[delivery(1, "c1"), delivery(2, "c2")],
        seen=seen or [message(1), message(2), message(3), result("c1"), result("c2")],
        history=[{"seq": seq, "id": f"m{seq}"} for seq in (1, 2, 3)],
        commands=[
            GivenCommand(id=name, user="me", content=f"do {name}", publisher="p") for name in ("c1", "c2")
        ],
    )


def well() -> ClusterEvidence:
    """An account that a kill at 10 s moved from A to B within two seconds."""
    return ClusterEvidence(
        accounts=[[account()], [account()]],
        calls=[
            call(A, "get_bot_qrcode", 0.5),
            call(A, "notifystart", 1.0),
            call(A, "getupdates", 1.5, 6.5),
            call(A, "getupdates", 6.5, 10.0),
            call(B, "notifystart", 12.0),
            call(B, "getupdates", 12.2, 17.2),
            call(B, "sendmessage", 13.0),
            call(B, "getupdates", 17.2, INF),
        ],
        sessions=[session(A, 0.4, 10.0), session(B, 11.9)],
        blows=[KILL],
        states={"observer0": {"a00": ("online", "machine2")}},
        machines={"machine1": A, "machine2": B},
        logged_in=2.0,
    )


def hung() -> ClusterEvidence:
    """The same of an instance that stood still from 10 s to 30 s, with its connections open."""
    return replace(
        well(),
        calls=[
            call(A, "notifystart", 1.0),
            call(A, "getupdates", 6.5, 30.1),
            call(B, "notifystart", 22.0),
            call(B, "getupdates", 22.2, 27.2),
            call(B, "getupdates", 27.2, INF),
        ],
        sessions=[session(A, 0.4, 30.2), session(B, 21.9)],
        blows=[HUNG],
    )


Change = Callable[[ClusterEvidence], ClusterEvidence]


def with_calls(*calls: Call) -> Change:
    return lambda evidence: replace(evidence, calls=[*evidence.calls, *calls])


def with_sessions(*sessions: Session) -> Change:
    return lambda evidence: replace(evidence, sessions=[*evidence.sessions, *sessions])


def seen_by(first: AccountEvidence, second: AccountEvidence) -> Change:
    return lambda evidence: replace(evidence, accounts=[[first], [second]])


SWAPPED = account(message(2), message(1), message(3), result("c1"), result("c2"))
SHORT = account(message(1), message(2), result("c1"), result("c2"))
TWICE = replace(account(), sent=[delivery(1, "c1"), delivery(2, "c1"), delivery(3, "c2")])


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (with_calls(call(A, "getupdates", 14.0, 19.0)), "two owners"),
        (with_calls(call(A, "sendmessage", 14.0)), "two owners"),
        (with_calls(call(A, "notifystop", 14.0)), "two owners"),
        (with_calls(call(A, "notifystart", 14.0)), "two owners"),
        (with_sessions(session(A, 14.0)), "two clients"),
        (with_sessions(session(A, 14.0, 14.1)), "two clients"),
        (with_calls(call(B, "get_bot_qrcode", 11.0)), "scan"),
        (with_calls(call(B, "jslogin", 11.0)), "scan"),
        (seen_by(SHORT, account()), "lost"),
        (seen_by(TWICE, account()), "repeat"),
        (seen_by(SWAPPED, SWAPPED), "order"),
        (lambda one: replace(one, states={"observer1": {"a00": ("offline", "machine2")}}), "state"),
        (lambda one: replace(one, states={"observer1": {"a00": ("online", "machine1")}}), "state"),
        (lambda one: replace(one, blows=[replace(KILL, allowed=1.5)]), "move"),
        (lambda one: replace(one, blows=[replace(KILL, victim=B)]), "move"),
    ],
)  # fmt: skip
def test_a_broken_promise_is_seen(change: Change, kind: str):
    assert kind in {finding.kind for finding in judge_cluster(change(well()))}


def test_a_call_of_somebody_who_is_not_connected_is_seen_where_nothing_is_announced():
    calls = [call(A, "synccheck", 1.0), call(B, "synccheck", 12.0), call(A, "webwxsendmsg", 14.0)]
    evidence = replace(well(), calls=calls, states={})
    assert [finding.kind for finding in judge_cluster(evidence)] == ["two owners"]
    earlier = [*calls[:2], call(A, "webwxsendmsg", 9.0)]
    assert judge_cluster(replace(evidence, calls=earlier)) == []
    assert judge_cluster(replace(evidence, sessions=[session(A, 0.4, 10.0)])) == []


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (with_calls(call(A, "getupdates", 30.3, INF)), "two owners"),
        (with_calls(call(A, "sendmessage", 30.1)), "two owners"),
        (with_sessions(session(A, 30.5)), "two clients"),
    ],
)
def test_what_a_hung_instance_does_when_it_goes_on_is_seen(change: Change, kind: str):
    assert kind in {finding.kind for finding in judge_cluster(change(hung()))}


@pytest.mark.parametrize("evidence", [well(), hung()])
def test_what_is_well_is_no_finding(evidence: ClusterEvidence):
    assert judge_cluster(evidence) == []


def test_an_order_that_only_one_observer_saw_is_the_brokers():
    assert judge_cluster(seen_by(SWAPPED, account())(well())) == []


def test_a_connection_that_was_open_when_the_database_was_lost_is_no_second_client():
    blow = replace(KILL, kind="database swallows", victim=A)
    evidence = replace(well(), blows=[blow], sessions=[session(A, 0.4, 12.0), session(B, 11.9)])
    assert judge_cluster(evidence) == []
    again = replace(evidence, sessions=[*evidence.sessions, session(A, 14.0)])
    assert "two clients" in {finding.kind for finding in judge_cluster(again)}
    earlier = replace(evidence, blows=[replace(blow, victim="")])
    assert "two clients" in {finding.kind for finding in judge_cluster(earlier)}


@pytest.mark.parametrize(("is_flagged", "kinds"), [(True, set()), (False, {"repeat", "identity"})])
def test_a_command_without_an_id_may_arrive_twice_if_its_result_says_so(is_flagged: bool, kinds: set[str]):
    first = delivery(1, "c1")
    again = {**delivery(2, "c1"), "msg_id": "other", "client_id": "another key"}
    reply = Publication(
        topic="reply/a00", payload=result("", duplicate_possible=is_flagged).payload, correlation=b"c1"
    )
    command = GivenCommand(id="", user="me", content="do c1", publisher="p", correlation=b"c1")
    twice = replace(
        account(message(1), message(2), message(3)),
        sent=[first, again],
        commands=[command],
        replies=[replace(reply, payload=reply.payload.replace(b'"s"', b'"sc1"'))],
    )
    assert {finding.kind for finding in judge_cluster(seen_by(twice, twice)(well()))} == kinds


def test_a_move_ends_with_the_first_call_of_another_machine():
    assert [seconds for _, seconds in moves(well())] == [{"a00": 2.0}]
    assert [seconds for _, seconds in moves(hung())] == [{"a00": 12.0}]


@pytest.mark.parametrize(
    "packet",
    [
        b"\x10\x1a\x00\x04MQTT\x05\x02\x00\x04\x05\x11\x00\x00\x0e\x10\x00\x0bwx2mqtt-a00\x00",
        b"\x10\x15\x00\x04MQTT\x04\x02\x00\x04\x00\x0bwx2mqtt-a00",
        b"\x10\x95\x01\x00\x04MQTT\x04\x02\x00\x04\x00\x0bwx2mqtt-a00",
    ],
)
def test_the_client_id_is_read_from_the_first_packet(packet: bytes):
    assert client_id_of(packet) == "wx2mqtt-a00"
    passage = Passage(machine=A, server="broker", began=1.0, ended=2.0, head=packet)
    assert sessions_of([passage, replace(passage, server="database")]) == [session(A, 1.0, 2.0)]


@pytest.mark.parametrize("head", [b"", b"\x30\x05", b"\x10", b"\x10\x1a\x00\x04MQTT\x05\x02\x00\x04"])
def test_other_first_bytes_name_no_client(head: bytes):
    assert client_id_of(head) == ""


def test_an_instance_with_another_key_that_serves_somebody_is_a_finding():
    barred = replace(KILL, kind="another key", barred=frozenset({B}), lost=frozenset())
    kinds = {finding.kind for finding in judge_cluster(replace(well(), blows=[barred]))}
    assert kinds == {"key"}
    elsewhere = replace(barred, barred=frozenset({"127.0.1.4"}))
    assert judge_cluster(replace(well(), blows=[elsewhere])) == []


def test_whoever_serves_without_a_database_is_a_finding():
    """From the end of the lease on: what began before it, and what begins with the database again, is none."""
    away = replace(KILL, kind="database away", dark=(4.5, 11.8))
    assert judge_cluster(replace(well(), blows=[away])) == []
    calls = [*well().calls, call(A, "getupdates", 11.7)]
    (finding, *_) = judge_cluster(replace(well(), calls=calls, blows=[away]))
    assert (finding.kind, "without a database" in finding.text) == ("database", True)
    sessions = [session(A, 0.4, 12.0), session(B, 11.9)]
    kinds = [finding.kind for finding in judge_cluster(replace(well(), sessions=sessions, blows=[away]))]
    assert "database" in kinds, "the will has not been sent"


@pytest.mark.parametrize(("told", "count"), [((True, False), 0), ((False, False), 1), ((True, True), 1)])
def test_a_refused_file_that_is_not_said_or_is_said_for_ever_is_a_finding(told, count):
    reload = replace(KILL, kind="refused reload", reload_told=told)
    findings = judge_cluster(replace(well(), blows=[reload]))
    assert [finding.kind for finding in findings] == ["reload"] * count
