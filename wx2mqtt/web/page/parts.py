"""The parts of an account's section that change by themselves, each the inside of one element. Pure.

A part is the same text as long as nothing that it shows is different, so that nothing else is sent on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from wx2mqtt.bridge.health import Seen, well
from wx2mqtt.bridge.view import Line
from wx2mqtt.clock import rfc3339
from wx2mqtt.errors import Problem
from wx2mqtt.model import LoginState, Needs, Status
from wx2mqtt.store.rows import CommandRow
from wx2mqtt.web.html import Html, tag, together
from wx2mqtt.web.page.cures import cure
from wx2mqtt.web.page.facts import Facts, Look
from wx2mqtt.web.page.words import WORDS, Say
from wx2mqtt.words import say as bridge_says

GOOD, WAITS, BAD = "good", "waits", "bad"
LONGEST_NUMBER = 12  # digits; iLink's have six

MOOD: Mapping[LoginState, str] = {
    LoginState.STARTING: WAITS,
    LoginState.WAITING_FOR_SCAN: WAITS,
    LoginState.WAITING_FOR_CONFIRM: WAITS,
    LoginState.ONLINE: GOOD,
    LoginState.INTERRUPTED: BAD,
    LoginState.LOGGED_OUT: BAD,
    LoginState.REFUSED: BAD,
    LoginState.STOPPED: BAD,
}

ASKS = {
    LoginState.LOGGED_OUT: "log_in",
    LoginState.REFUSED: "log_in",
    LoginState.WAITING_FOR_SCAN: "new_code",
}
ENDS = frozenset({LoginState.ONLINE, LoginState.INTERRUPTED})

_PLAIN_REASONS = {
    bridge_says(language, word) for language in ("en", "zh") for word in ("scan", "confirm", "starting")
}
"""What the page says better, and in the language of who reads it."""


def parts(facts: Facts, look: Look) -> dict[str, Html]:
    """By name, in the order of the page."""
    say = Say(look.language)
    return {
        "state": state(facts, say),
        "code": code(facts, say),
        "acts": acts(facts, say),
        "problems": problems(facts, say),
        "figures": figures(facts, say),
        "messages": messages(facts.lines, say, texts=look.texts),
        "commands": commands(facts.commands, say, texts=look.texts),
    }


def state(facts: Facts, say: Say) -> Html:
    """How the login stands, and what a person must do now."""
    login = facts.login
    what, todo = cure(f"login_{login.state}", say.language)
    if login.needs is Needs.CODE:
        what, todo = say("number_what"), say("number_todo")
    title = tag("strong", say(f"state_{login.state}"), class_=f"state {MOOD[login.state]}")
    since = tag("small", say.html("since", time=when(login.since)))
    if login.state is LoginState.ONLINE:
        return together([title, tag("p", say.html("logged_in_as", name=_bdi(facts.view.owner))), since])
    reason = None if login.reason in _PLAIN_REASONS else say.html("said_by_bridge", reason=_bdi(login.reason))
    gap = "" if say.language == "zh" else " "
    return together(
        [title, tag("p", what, gap, todo), None if reason is None else tag("p", reason, class_="soft"), since]
    )


def code(facts: Facts, say: Say) -> Html:
    """The QR code while one is to be scanned, and how long it is good."""
    if not facts.has_code:
        return Html()
    expires = facts.login.qr_expires
    source = f"accounts/{facts.view.name}/qr.png?{expires or facts.login.since}"
    picture = tag("img", src=source, alt=say("code"), width=290, height=290)
    if expires is None:
        return picture
    until = tag("p", say.html("good_until", time=when(expires)), class_="until")
    left = say.html("left", time=tag("span", role="timer"))
    return together([picture, until, tag("p", left, class_="left", data_until=expires, hidden=True)])


def acts(facts: Facts, say: Say) -> Html:
    """The buttons that fit the state."""
    here, now = f"accounts/{facts.view.name}", facts.login.state
    if facts.login.needs is Needs.CODE:
        return _number(facts.view.name, say)
    if now in ASKS:
        main = "main" if ASKS[now] == "log_in" else None
        return tag("form", tag("button", say(ASKS[now]), class_=main), method="post", action=f"{here}/login")
    return tag("a", say("log_out"), href=f"{here}/logout", class_="button") if now in ENDS else Html()


def _number(account: str, say: Say) -> Html:
    key = f"{account}-number"
    field = tag(
        "input",
        id=key,
        name="number",
        type="text",
        inputmode="numeric",
        pattern="[0-9]*",
        maxlength=LONGEST_NUMBER,
        required=True,
        autocomplete="off",
    )
    return tag(
        "form",
        tag("label", say("number_label"), for_=key),
        tag("div", field, tag("button", say("send"), class_="main"), class_="row"),
        method="post",
        action=f"accounts/{account}/number",
    )


def problems(facts: Facts, say: Say) -> Html:
    """What is wrong besides the login, and how to mend it."""
    seen = facts.seen
    if seen is None:
        return _wrong([("store_trouble", "")], say)
    found = [(name, _detail(name, seen)) for name in well(seen) if not name.startswith("login_")]
    if seen.unresolved:
        found.append(("unresolved_people", ""))
    return _wrong(found, say)


def _wrong(found: Sequence[tuple[str, str]], say: Say) -> Html:
    if not found:
        return tag("p", say("none_wrong"), class_="soft")
    return tag("ul", *(_problem(name, detail, say) for name, detail in found), class_="wrong")


def _problem(name: str, detail: str, say: Say) -> Html:
    what, todo = cure(name, say.language)
    told = tag("p", _bdi(detail), class_="soft") if detail else None
    return tag("li", tag("strong", what), told, tag("p", todo))


def _detail(problem: str, seen: Seen) -> str:
    """What is known of it, in the words of whoever told."""
    match problem:
        case "broker_away" | "standby":
            return seen.counters.broker_reason
        case "broker_refuses_topics":
            return ", ".join(seen.refused)
        case "store_trouble":
            return seen.stats.trouble
        case "loops_stuck":
            return ", ".join(seen.stuck)
    return ""


def figures(facts: Facts, say: Say) -> Html:
    """Queues, connections and sizes."""
    seen = facts.seen
    if seen is None:
        return tag("p", say("not_known"), class_="soft")
    stats, counters = seen.stats, seen.counters
    broker = say("broker_here", protocol=seen.broker) if seen.broker else say("broker_away")
    again = say("connects", count=counters.connects - 1) if counters.connects > 1 else ""
    rows = {
        "broker": broker + again,
        "answered": say("never") if seen.last_answer is None else when(seen.last_answer),
        "to_mqtt": _queue(stats.waiting_publications, stats.oldest_publication, say),
        "to_wechat": _queue(stats.waiting_commands, stats.oldest_command, say),
        "to_fetch": f"{stats.pending_media}" if stats.pending_media else say("nothing"),
        "failed_today": f"{stats.failed_today}" if stats.failed_today else say("nothing"),
        "messages": f"{stats.messages}",
        "store": say("of_limit", size=_size(seen.store_size), limit=_size(seen.store_limit)),
        "started": when(counters.started),
    }
    return tag("dl", *(tag("div", tag("dt", say(name)), tag("dd", shown)) for name, shown in rows.items()))


def _queue(depth: int, oldest: int | None, say: Say) -> str:
    if not depth or oldest is None:
        return say("nothing")
    return say.html("waiting", count=f"{depth}", time=when(oldest))


def messages(lines: Sequence[Line] | None, say: Say, *, texts: bool) -> Html:
    """What came in last, the newest first; what it says only where that is wanted."""
    if not lines:
        return tag("p", say("not_known" if lines is None else "no_messages"), class_="soft")
    return tag("ol", *(_line(line, say, texts=texts) for line in lines), class_="lines")


def _line(line: Line, say: Say, *, texts: bool) -> Html:
    who = _bdi(say("me") if line.own else line.sender or line.chat or line.user)
    if line.group and line.sender:
        who = say.html("in_group", sender=who, chat=_bdi(line.chat or line.user))
    text = tag("p", tag("bdi", line.text), class_="text") if texts else None
    file = tag("a", say("open_file"), href=f"media/{line.media}") if texts and line.media else None
    kind = tag("span", _named("kind", line.kind, say), class_="kind")
    return tag("li", tag("span", who, class_="who"), kind, _time(line.time), text, file)


def commands(rows: Sequence[CommandRow] | None, say: Say, *, texts: bool) -> Html:
    """The last commands and what became of them, the newest first."""
    if not rows:
        return tag("p", say("not_known" if rows is None else "no_commands"), class_="soft")
    return tag("ol", *(_command(row, say, texts=texts) for row in rows), class_="lines")


def _command(row: CommandRow, say: Say, *, texts: bool) -> Html:
    result, command = row.result, row.command
    if result is None:
        word, mood, told = "sending" if row.open else "waiting", WAITS, None
    else:
        word, mood = str(result.status), GOOD if result.status is Status.SENT else BAD
        told = tag("p", tag("code", result.code), " ", _bdi(result.message), class_="soft")
    status = tag("span", say(f"status_{word}"), class_=f"state {mood}")
    who = tag("span", say.html("to_whom", user=_bdi(command.user)), class_="who")
    kind = tag("span", _named("kind", command.kind, say), class_="kind")
    text = tag("p", tag("bdi", command.text), class_="text") if texts and command.text else None
    return tag("li", who, kind, when(row.accepted), status, text, told)


def file_problems(found: Iterable[Problem], say: Say, *, runs: bool) -> Html:
    """Why the file cannot be used, with each line and cure; nothing where it can."""
    listed = [_file_problem(one) for one in found]
    if not listed:
        return Html()
    title, text = ("reload_title", "reload_text") if runs else ("file_title", "file_text")
    return tag(
        "section",
        tag("h2", say(title)),
        tag("p", say(text)),
        tag("ul", *listed, class_="wrong", lang="en"),
        class_="card file",
    )


def _file_problem(problem: Problem) -> Html:
    where = f"{problem.file}:{problem.line}" if problem.line else problem.file
    return tag(
        "li", tag("strong", tag("code", problem.key)), " ", problem.message, tag("p", where, class_="soft")
    )


def when(time: int) -> Html:
    """A moment, in milliseconds since 1970; the script writes it as the reader's clock does."""
    return _time(rfc3339(time))


def _time(written: str) -> Html:
    try:
        plain = datetime.fromisoformat(written).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError):
        plain = written
    return tag("time", plain, datetime=written)


def _named(group: str, name: str, say: Say) -> str:
    word = f"{group}_{name}"
    return say(word) if word in WORDS else name


def _bdi(text: str) -> Html:
    """A name or a sentence of somebody else: its direction of writing ends with it."""
    return text if isinstance(text, Html) else tag("bdi", text)


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
