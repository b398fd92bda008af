"""The judge of several instances finds each broken promise in a record, and nothing in a correct one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.chaos.evidence import AccountEvidence, Publication, PublishedCommand
from tests.cluster.environment import client_id_of, sessions_of
from tests.cluster.evidence import Call, ClusterDisruption, ClusterEvidence, Session
from tests.cluster.judge import judge_cluster, moves
from tests.cluster.network import NetworkConnection

A, B = "127.0.1.1", "127.0.1.2"
INF = float("inf")

KILL = ClusterDisruption(
    kind="kill", began=10.0, ended=20.0, since=10.0, allowed=10.0, lost=frozenset({"a00"})
)
HUNG = ClusterDisruption(
    kind="SIGSTOP 20 s", began=10.0, ended=30.0, since=10.0, allowed=20.0, lost=frozenset({"a00"}),
    target=A, unreachable=frozenset({A}),
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
    """Returns the evidence of three messages and two commands of one account."""
    said = [f"m{seq}" for seq in (1, 2, 3)]
    return AccountEvidence(
        name="a00",
        base="wx/a00",
        levels={"me": "me"},
        logs=[{"active": True, "messages": said, "confirmed": 2}],
        lines=[{"msg_id": f"m{n}", "person": "me", "kind": "text", "text": f"text {n}"} for n in (1, 2, 3)],
        sent=[delivery(1, "c1"), delivery(2, "c2")],
        publications=seen or [message(1), message(2), message(3), result("c1"), result("c2")],
        history=[{"seq": seq, "id": f"m{seq}"} for seq in (1, 2, 3)],
        commands=[
            PublishedCommand(id=name, user="me", content=f"do {name}", publisher="p") for name in ("c1", "c2")
        ],
    )


def correct_evidence() -> ClusterEvidence:
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
        disruptions=[KILL],
        states={"observer0": {"a00": ("online", "machine2")}},
        machines={"machine1": A, "machine2": B},
        logged_in=2.0,
    )


def evidence_of_hung_instance() -> ClusterEvidence:
    """The same for an instance that was stopped from 10 s to 30 s, with its connections open."""
    return replace(
        correct_evidence(),
        calls=[
            call(A, "notifystart", 1.0),
            call(A, "getupdates", 6.5, 30.1),
            call(B, "notifystart", 22.0),
            call(B, "getupdates", 22.2, 27.2),
            call(B, "getupdates", 27.2, INF),
        ],
        sessions=[session(A, 0.4, 30.2), session(B, 21.9)],
        disruptions=[HUNG],
    )


Change = Callable[[ClusterEvidence], ClusterEvidence]


def with_calls(*calls: Call) -> Change:
    return lambda evidence: replace(evidence, calls=[*evidence.calls, *calls])


def with_sessions(*sessions: Session) -> Change:
    return lambda evidence: replace(evidence, sessions=[*evidence.sessions, *sessions])


def with_observers(first: AccountEvidence, second: AccountEvidence) -> Change:
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
        (with_observers(SHORT, account()), "lost"),
        (with_observers(TWICE, account()), "repeat"),
        (with_observers(SWAPPED, SWAPPED), "order"),
        (lambda evidence: replace(evidence, states={"observer1": {"a00": ("offline", "machine2")}}), "state"),
        (lambda evidence: replace(evidence, states={"observer1": {"a00": ("online", "machine1")}}), "state"),
        (lambda evidence: replace(evidence, disruptions=[replace(KILL, allowed=1.5)]), "move"),
        (lambda evidence: replace(evidence, disruptions=[replace(KILL, target=B)]), "move"),
    ],
)  # fmt: skip
def test_a_broken_promise_is_found(change: Change, kind: str):
    assert kind in {finding.kind for finding in judge_cluster(change(correct_evidence()))}


def test_a_call_of_a_machine_that_is_not_connected_is_found_for_an_account_without_announcements():
    calls = [call(A, "synccheck", 1.0), call(B, "synccheck", 12.0), call(A, "webwxsendmsg", 14.0)]
    evidence = replace(correct_evidence(), calls=calls, states={})
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
def test_what_a_stopped_instance_does_when_it_goes_on_is_found(change: Change, kind: str):
    assert kind in {finding.kind for finding in judge_cluster(change(evidence_of_hung_instance()))}


@pytest.mark.parametrize("evidence", [correct_evidence(), evidence_of_hung_instance()])
def test_correct_evidence_has_no_findings(evidence: ClusterEvidence):
    assert judge_cluster(evidence) == []


def test_a_wrong_order_that_only_one_observer_got_is_no_finding():
    assert judge_cluster(with_observers(SWAPPED, account())(correct_evidence())) == []


def test_a_connection_that_was_open_when_the_database_was_lost_is_no_second_client():
    disruption = replace(KILL, kind="database swallows", target=A)
    evidence = replace(
        correct_evidence(), disruptions=[disruption], sessions=[session(A, 0.4, 12.0), session(B, 11.9)]
    )
    assert judge_cluster(evidence) == []
    again = replace(evidence, sessions=[*evidence.sessions, session(A, 14.0)])
    assert "two clients" in {finding.kind for finding in judge_cluster(again)}
    earlier = replace(evidence, disruptions=[replace(disruption, target="")])
    assert "two clients" in {finding.kind for finding in judge_cluster(earlier)}


@pytest.mark.parametrize(("is_flagged", "kinds"), [(True, set()), (False, {"repeat", "identity"})])
def test_a_command_without_an_id_may_arrive_twice_if_its_result_says_so(is_flagged: bool, kinds: set[str]):
    first = delivery(1, "c1")
    again = {**delivery(2, "c1"), "msg_id": "other", "client_id": "another key"}
    reply = Publication(
        topic="reply/a00", payload=result("", duplicate_possible=is_flagged).payload, correlation=b"c1"
    )
    command = PublishedCommand(id="", user="me", content="do c1", publisher="p", correlation=b"c1")
    twice = replace(
        account(message(1), message(2), message(3)),
        sent=[first, again],
        commands=[command],
        replies=[replace(reply, payload=reply.payload.replace(b'"s"', b'"sc1"'))],
    )
    assert {
        finding.kind for finding in judge_cluster(with_observers(twice, twice)(correct_evidence()))
    } == kinds


def test_a_move_ends_with_the_first_call_of_another_machine():
    assert [seconds for _, seconds in moves(correct_evidence())] == [{"a00": 2.0}]
    assert [seconds for _, seconds in moves(evidence_of_hung_instance())] == [{"a00": 12.0}]


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
    connection = NetworkConnection(machine=A, server="broker", began=1.0, ended=2.0, head=packet)
    assert sessions_of([connection, replace(connection, server="database")]) == [session(A, 1.0, 2.0)]


@pytest.mark.parametrize("head", [b"", b"\x30\x05", b"\x10", b"\x10\x1a\x00\x04MQTT\x05\x02\x00\x04"])
def test_other_first_bytes_name_no_client(head: bytes):
    assert client_id_of(head) == ""


def test_an_instance_with_another_key_that_serves_an_account_is_a_finding():
    machines_with_wrong_key = replace(
        KILL, kind="another key", machines_with_wrong_key=frozenset({B}), lost=frozenset()
    )
    kinds = {
        finding.kind
        for finding in judge_cluster(replace(correct_evidence(), disruptions=[machines_with_wrong_key]))
    }
    assert kinds == {"key"}
    elsewhere = replace(machines_with_wrong_key, machines_with_wrong_key=frozenset({"127.0.1.4"}))
    assert judge_cluster(replace(correct_evidence(), disruptions=[elsewhere])) == []


def test_an_instance_that_serves_without_a_database_is_a_finding():
    """From the end of the lease on: what began before it, and what begins with the database again, is none."""
    away = replace(KILL, kind="database away", database_outage=(4.5, 11.8))
    assert judge_cluster(replace(correct_evidence(), disruptions=[away])) == []
    calls = [*correct_evidence().calls, call(A, "getupdates", 11.7)]
    (finding, *_) = judge_cluster(replace(correct_evidence(), calls=calls, disruptions=[away]))
    assert (finding.kind, "without a database" in finding.text) == ("database", True)
    sessions = [session(A, 0.4, 12.0), session(B, 11.9)]
    kinds = [
        finding.kind
        for finding in judge_cluster(replace(correct_evidence(), sessions=sessions, disruptions=[away]))
    ]
    assert "database" in kinds, "the will has not been sent"


@pytest.mark.parametrize(("reported", "count"), [((True, False), 0), ((False, False), 1), ((True, True), 1)])
def test_a_refused_file_that_is_not_reported_or_reported_for_ever_is_a_finding(reported, count):
    reload = replace(KILL, kind="refused reload", reload_reported=reported)
    findings = judge_cluster(replace(correct_evidence(), disruptions=[reload]))
    assert [finding.kind for finding in findings] == ["reload"] * count
