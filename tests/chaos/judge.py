"""Finds the promises of the README that a run has broken, from its evidence alone. Pure; shares no code with the bridge."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.evidence import (
    KILLS,
    AccountEvidence,
    DisruptionRecord,
    JsonBody,
    Publication,
    PublishedCommand,
)
from tests.chaos.question_judge import QuestionJudge
from tests.chaos.unstored_messages import answered_before_stored, unexplained_losses

MAX_REPEATED_MESSAGES = 20
"""The messages of an account that may be published again after a kill."""

MAX_DELIVERIES = 2
"""An attempt without an answer is repeated once."""

# Between the texts of several commands that go to WeChat as one message.
BUNDLE_SEPARATOR = "\n\n"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A broken promise: its `kind` (`lost`, `repeat`, `order`, `result`, `identity`, …) and a sentence."""

    kind: str
    text: str


REFUSED = "refused at the last reload"


def judge(accounts: Iterable[AccountEvidence], disruptions: Sequence[DisruptionRecord] = ()) -> list[Finding]:
    """Returns all broken promises."""
    findings: list[Finding] = []
    for account in accounts:
        commands = _Commands(account)
        messages = _Messages(account, commands.doubtful_messages())
        of_account = (
            *messages.findings(),
            *messages.too_many_repeats(disruptions),
            *commands.findings(),
            *(Finding("button", text) for text in QuestionJudge(account, commands.sent_ids()).problems()),
            *_refused_for_ever(account),
        )
        findings += [Finding(finding.kind, f"{account.name}: {finding.text}") for finding in of_account]
    return findings


def _refused_for_ever(account: AccountEvidence) -> Iterator[Finding]:
    """At the end of a run every configuration file was accepted, so no state says that one was refused."""
    if REFUSED in account.reason:
        yield Finding("reload", f"login/state still says: {account.reason}")


def repeats_by_kind(
    accounts: Iterable[AccountEvidence], disruptions: Sequence[DisruptionRecord]
) -> Counter[str]:
    """Counts the messages that were published again, by the kind of the disruption before."""
    counts: Counter[str] = Counter()
    for account in accounts:
        for publication in _Messages(account, set()).repeats:
            counts[_disruption_before(disruptions, publication.at)] += 1
    return counts


def _disruption_before(disruptions: Sequence[DisruptionRecord], at: float) -> str:
    kinds = [disruption.kind for disruption in disruptions if disruption.began <= at]
    return kinds[-1] if kinds else "none"


class _Messages:
    """Judges the messages from WeChat to MQTT.

    `firsts` are the first publications by seq, in the order in which they came; `repeats` all others.
    """

    def __init__(self, account: AccountEvidence, doubtful_messages: set[str]) -> None:
        self._account = account
        self._doubtful_messages = doubtful_messages
        self._prefix = f"{account.base}/in/"
        self.firsts: dict[int, Publication] = {}
        self.repeats: list[Publication] = []
        self._changed: list[int] = []
        for publication in account.publications:
            if publication.topic.startswith(self._prefix):
                self._add(publication)
        self._own = {str(line["msg_id"]) for line in account.sent}
        self._lines = {str(line["msg_id"]): line for line in account.lines}
        # A chat that is not named in the configuration keeps its first level.
        self._levels = dict(account.levels)
        self._seq_of_id = {str(row["id"]): int(row["seq"]) for row in account.history}

    def _add(self, publication: Publication) -> None:
        seq = int(publication.body["seq"])
        first = self.firsts.setdefault(seq, publication)
        if first is publication:
            return
        self.repeats.append(publication)
        if (first.topic, first.payload) != (publication.topic, publication.payload):
            self._changed.append(seq)

    def findings(self) -> Iterator[Finding]:
        for seq in dict.fromkeys(self._changed):
            yield Finding("identity", f"seq {seq} was published with two contents")
        yield from self._two_numbers()
        yield from self._lost()
        yield from self._gaps()
        for publication in self.firsts.values():
            yield from self._wrong_content(publication)
        yield from self._disorder()
        for message_id, (served, real) in self._account.files.items():
            if served != real:
                yield Finding("file", f"message {message_id} is served with other bytes: {served}")

    def _two_numbers(self) -> Iterator[Finding]:
        seqs: defaultdict[str, set[int]] = defaultdict(set)
        for seq, publication in self.firsts.items():
            seqs[str(publication.body["id"])].add(seq)
        for row in self._account.history:
            seqs[str(row["id"])].add(int(row["seq"]))
        for message_id, numbers in seqs.items():
            if len(numbers) > 1:
                yield Finding("identity", f"message {message_id} has the seqs {sorted(numbers)}")
        ids: defaultdict[int, set[str]] = defaultdict(set)
        for message_id, numbers in seqs.items():
            for number in numbers:
                ids[number].add(message_id)
        for number, messages in ids.items():
            if len(messages) > 1:
                yield Finding("identity", f"seq {number} means the messages {sorted(messages)}")

    def _lost(self) -> Iterator[Finding]:
        """Each message from WeChat was published; one that the broker lost is in the history."""
        seen = {str(publication.body["id"]) for publication in self.firsts.values()}
        if self._account.written is not None:
            yield from self._unexplained_losses(seen)
            return
        missing_message_ids = [message_id for log in self._account.logs for message_id in _expected(log)]
        for message_id in missing_message_ids:
            if message_id in self._own or message_id in self._account.event_ids:
                continue
            if message_id not in self._seq_of_id:
                yield Finding("lost", f"message {message_id} is not in the history")
            if message_id not in seen and not self._account.broker_forgot:
                yield Finding("lost", f"message {message_id} was never published")

    def _unexplained_losses(self, seen: set[str]) -> Iterator[Finding]:
        """Judges WeCom, which keeps no messages: a lost one must lie in a gap."""
        account = self._account
        logs, stored = account.connections, self._seq_of_id.keys()
        moved = account.clock_moved
        for message in unexplained_losses(
            account.written or (), logs, account.gaps, stored, clock_moved=moved
        ):
            # The broker may have lost the event about a gap.
            if not (account.broker_forgot and "no gap" in message.reason):
                yield Finding("lost", f"message {message.id} {message.reason}")
        for message_id in answered_before_stored(logs, stored):
            yield Finding("receipt", f"message {message_id} was answered and is not in the history")
        if not account.broker_forgot:
            for message_id in stored - seen:
                yield Finding("lost", f"message {message_id} was never published")

    def _gaps(self) -> Iterator[Finding]:
        seqs = {*self.firsts, *self._seq_of_id.values()}
        missing = sorted(set(range(1, max(seqs, default=0) + 1)) - seqs)
        if missing:
            yield Finding("lost", f"seq has gaps: {missing[:10]}")

    def _wrong_content(self, publication: Publication) -> Iterator[Finding]:
        body = publication.body
        message_id = str(body["id"])
        line = self._lines.get(message_id)
        if message_id in self._own:
            # The echo of an attempt without an answer is recognized by its text and time.
            if self._account.clock_was_wrong and message_id in self._doubtful_messages:
                return
            yield Finding("own", f"message {message_id}, which the bridge has sent, was published")
        elif line is None:
            yield Finding("strange", f"message {message_id} was written by no person")
        else:
            level = publication.topic.removeprefix(self._prefix)
            if level != self._levels.setdefault(_chat(line), level):
                yield Finding("identity", f"message {message_id} of {_chat(line)} was published for {level}")
            if line["kind"] == "text" and line["text"] != body["text"]:
                yield Finding("identity", f"message {message_id} has the text {body['text']!r}")

    def _disorder(self) -> Iterator[Finding]:
        """First publications of a chat come in the order of seq, which is WeChat's order."""
        position = {
            message_id: index
            for index, message_id in enumerate(
                str(message_id) for log in self._account.logs for message_id in log["messages"]
            )
        }
        chats: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for seq, publication in self.firsts.items():
            chats[publication.topic].append((seq, position.get(str(publication.body["id"]), seq)))
        for topic, pairs in chats.items():
            for (seq, place), (next_seq, next_place) in pairwise(pairs):
                if seq > next_seq:
                    yield Finding("order", f"{topic}: seq {next_seq} came first after {seq}")
                elif place > next_place:
                    yield Finding("order", f"{topic}: seq {seq} was written after seq {next_seq}")

    def too_many_repeats(self, disruptions: Sequence[DisruptionRecord]) -> Iterator[Finding]:
        """Counts the repeats after each kill of the bridge; a repeat of the broker itself has the DUP flag."""
        for index, disruption in enumerate(disruptions):
            if disruption.kind not in KILLS or not disruption.single:
                continue
            end = disruptions[index + 1].began if index + 1 < len(disruptions) else float("inf")
            count = sum(
                disruption.began <= publication.at < end and not publication.dup
                for publication in self.repeats
            )
            if count > MAX_REPEATED_MESSAGES:
                yield Finding("repeat", f"{count} messages were published again after {disruption.kind}")


def _expected(log: JsonBody) -> Sequence[str]:
    """Returns the ids that must be published: of a login that has ended, those that the client has confirmed."""
    messages = [str(message_id) for message_id in log["messages"]]
    return messages if log["active"] else messages[: log["confirmed"]]


def _chat(line: JsonBody) -> str:
    return str(line["chat"] if "chat" in line else line["person"])


class _Commands:
    """Judges the commands from MQTT to WeChat."""

    def __init__(self, account: AccountEvidence) -> None:
        self._account = account
        self._results: dict[str, Publication] = {}
        self._by_correlation: dict[bytes, JsonBody] = {}
        self._two_results: list[str] = []
        self._answers: dict[str, JsonBody] = {}
        self._sent: defaultdict[str, list[JsonBody]] = defaultdict(list)
        self._sends = {command.transaction for command in account.commands if command.transaction}
        for publication in account.publications:
            self._add(publication)
        for reply in account.replies:
            self._by_correlation[reply.correlation] = reply.body
        contents = {command.content for command in account.commands}
        questions = {question.text: question.keys for question in account.questions}
        shown = [_without_choices(line, questions) for line in account.sent]
        self._lines = [part for line in shown for part in _texts_of_bundle(line, contents)]
        for line in self._lines:
            self._sent[_content(line)].append(line)

    def _add(self, publication: Publication) -> None:
        base = self._account.base
        if publication.topic.startswith(f"{base}/bridge/response/"):
            self._add_answer(publication.body)
        if not publication.topic.startswith(f"{base}/result/"):
            return
        command_id = str(publication.body["id"])
        first = self._results.setdefault(command_id, publication)
        if (first.topic, first.payload) != (publication.topic, publication.payload):
            self._two_results.append(command_id)

    def _add_answer(self, body: JsonBody) -> None:
        transaction = str(body.get("transaction", ""))
        first = self._answers.setdefault(transaction, body)
        is_send = transaction in self._sends
        if is_send and first != body:
            self._two_results.append(transaction)

    def findings(self) -> Iterator[Finding]:
        for command_id in dict.fromkeys(self._two_results):
            yield Finding("result", f"command {command_id} has two results")
        for command in self._account.commands:
            yield from self._wrong_command(command)
        yield from self._wrong_changes()
        yield from self._unasked()
        yield from self._keys()
        yield from self._disorder()
        if not self._account.broker_forgot:
            for transaction in self._account.requests.keys() - self._answers.keys():
                name = self._account.requests[transaction]
                yield Finding("answer", f"request {transaction} ({name}) has no answer")

    def doubtful_messages(self) -> set[str]:
        """Returns the ids of the messages of commands that had an attempt without an answer."""
        return {
            str(line["msg_id"])
            for command in self._account.commands
            if (result := self._result(command)) is not None
            and (result["duplicate_possible"] or result["status"] == "uncertain")
            for line in self._sent[command.content]
        }

    def sent_ids(self) -> set[str]:
        """Returns the ids of the commands that were sent."""
        return {name for name, one in self._results.items() if one.body.get("status") == "sent"}

    def _result(self, command: PublishedCommand) -> JsonBody | None:
        if command.transaction:
            data = self._answers.get(command.transaction, {}).get("data")
            return dict(data) if data else None
        if command.id:
            publication = self._results.get(command.id)
            return publication.body if publication is not None else None
        return self._by_correlation.get(command.correlation)

    def _wrong_command(self, command: PublishedCommand) -> Iterator[Finding]:
        result = self._result(command)
        times = sum(bool(line["delivered"]) for line in self._sent[command.content])
        name = f"command {command.id or command.correlation.decode()}"
        if result is None:
            # Without an id a command cannot be published again when the broker has lost it.
            if command.id or not self._account.broker_forgot:
                yield Finding("result", f"{name} has no result (delivered {times} times)")
            return
        status = str(result["status"])
        # Without an id the bridge cannot recognize what a broker with an older state delivers again.
        may_repeat = command.may_repeat or (not command.id and self._account.broker_forgot)
        honest = bool(result["duplicate_possible"]) or status == "uncertain" or may_repeat
        topic = self._results[command.id].topic if command.id in self._results else ""
        if topic and topic != f"{self._account.base}/result/{command.user}":
            yield Finding("result", f"{name} has its result on {topic}")
        if status == "sent" and not times:
            yield Finding("result", f"{name} is `sent` and did not arrive")
        if status not in {"sent", "uncertain"} and times and not honest:
            yield Finding("result", f"{name} is `{status}` and did arrive")
        if times > MAX_DELIVERIES and not may_repeat:
            yield Finding("repeat", f"{name} arrived {times} times")
        if times > 1 and not honest:
            yield Finding("repeat", f"{name} arrived {times} times and does not say so")
        bundled = {int(line.get("bundled", 1)) for line in self._sent[command.content]}
        if status == "sent" and times and int(result.get("bundled", 1)) not in bundled:
            yield Finding(
                "result",
                f"{name} says a bundle of {result.get('bundled', 1)}, and it was of {sorted(bundled)}",
            )
        ids = {str(line["msg_id"]) for line in self._sent[command.content]}
        if status == "sent" and result["message_id"] is not None and str(result["message_id"]) not in ids:
            yield Finding("identity", f"{name} has the message id {result['message_id']} of another message")

    def _wrong_changes(self) -> Iterator[Finding]:
        """What was asked for is there if the answer says so, and a group is never created twice."""
        account = self._account
        # A group that was renamed has another word behind its first name.
        created = Counter(name.partition(" ")[0] for name in account.groups)
        for change in account.changes:
            is_done = self._answers.get(change.transaction, {}).get("status") == "ok"
            count = created[change.group] if change.group else 0
            if count > 1 and not change.may_repeat and not account.broker_forgot:
                yield Finding("change", f"group {change.group} was created {count} times")
            if is_done and change.group and not count:
                yield Finding("change", f"group {change.group} was not created, and the answer says so")
            if is_done and change.friend and change.friend not in account.friends:
                yield Finding("change", f"{change.friend} is no friend, and the answer says so")

    def _unasked(self) -> Iterator[Finding]:
        known = {command.content for command in self._account.commands}
        for content in self._sent.keys() - known:
            yield Finding("strange", f"WeChat got a text of no command: {content[:80]!r}")

    def _keys(self) -> Iterator[Finding]:
        """All attempts of a command have one client id, and each client id is of one command."""
        contents: defaultdict[str, set[str]] = defaultdict(set)
        repeating = {
            command.content
            for command in self._account.commands
            if command.may_repeat or (not command.id and self._account.broker_forgot)
        }
        for content, lines in self._sent.items():
            keys = {_client_id(line) for line in lines} - {""}
            for key in keys:
                contents[key].add(content)
            if len(keys) > 1 and content not in repeating:
                yield Finding("identity", f"{content[:80]!r} was sent with the keys {sorted(keys)}")
        for key, texts in contents.items():
            if len(texts) > 1:
                yield Finding("identity", f"key {key} was used for {sorted(texts)[:3]}")

    def _disorder(self) -> Iterator[Finding]:
        """Commands of one publisher to one chat arrive in the order in which they were published.

        A bundle has texts only, and no question, so it may overtake a file or a question.
        """
        bundled = {_content(line) for line in self._lines if "bundled" in line}
        alone = {str(line["sha256"]) for line in self._lines if line["sha256"]}
        alone |= {question.text for question in self._account.questions}
        first_place: dict[str, int] = {}
        for place, line in enumerate(self._lines):
            if line["delivered"]:
                first_place.setdefault(_content(line), place)
        by_route: defaultdict[tuple[str, str, str], list[PublishedCommand]] = defaultdict(list)
        for command in self._account.commands:
            if command.content in first_place and not command.published_again:
                # Files and texts of a chat keep one order; a file may wait for its upload.
                by_route[command.publisher, command.user, ""].append(command)
        for (publisher, user, _), commands in by_route.items():
            for command, later in pairwise(commands):
                if command.content in alone and later.content in bundled:
                    continue
                if first_place[command.content] > first_place[later.content]:
                    yield Finding(
                        "order",
                        f"{publisher} to {user}: {command.id} arrived after {later.id}, which came later",
                    )


def _texts_of_bundle(line: JsonBody, contents: Collection[str]) -> list[JsonBody]:
    """Returns a line for each text of a bundle, which may begin with a heading of the bridge; else the line."""
    texts = str(line["text"]).split(BUNDLE_SEPARATOR)
    texts = texts if texts[0] in contents else texts[1:]
    if _content(line) in contents or not texts or not all(text in contents for text in texts):
        return [line]
    key = "client_msg_id" if "client_msg_id" in line else "client_id"
    return [
        {**line, "text": text, key: f"{_client_id(line)} {text}", "bundled": len(texts)} for text in texts
    ]


def _without_choices(line: JsonBody, questions: Mapping[str, Mapping[str, str]]) -> JsonBody:
    """Returns a question without its buttons if all of them are shown; any other line as it is."""
    text, _, shown = str(line["text"]).partition("\n")
    is_whole = text in questions and all(button in shown for button in questions[text])
    return {**line, "text": text} if is_whole else line


def _content(line: Mapping[str, object]) -> str:
    return str(line["sha256"] or line["text"])


def _client_id(line: Mapping[str, object]) -> str:
    """Returns the id that WeChat got with a message; empty where a service knows none."""
    return str(line["client_msg_id"] if "client_msg_id" in line else line.get("client_id", ""))
