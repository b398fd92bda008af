"""The parts of an account's section that change by themselves, each the inside of one element. Pure.

A part is the same text as long as nothing that it shows is different, so that nothing else is sent on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from wx2mqtt.bridge.health import HealthSnapshot, is_healthy
from wx2mqtt.bridge.view import MessageLine
from wx2mqtt.clock import rfc3339
from wx2mqtt.errors import Problem
from wx2mqtt.i18n.bridge import bridge_text as bridge_says
from wx2mqtt.i18n.web import PAGE_MESSAGES, remedy_for
from wx2mqtt.model import LoginState, Needs, Status
from wx2mqtt.store.records import CommandRow
from wx2mqtt.web.html import Html, PageText, join_html, tag
from wx2mqtt.web.views import AccountSnapshot, PageOptions

STYLE_GOOD, STYLE_WAITING, STYLE_BAD = "good", "waits", "bad"
MAX_CODE_DIGITS = 12  # digits; iLink's have six

STATE_STYLES: Mapping[LoginState, str] = {
    LoginState.STARTING: STYLE_WAITING,
    LoginState.WAITING_FOR_SCAN: STYLE_WAITING,
    LoginState.WAITING_FOR_CONFIRM: STYLE_WAITING,
    LoginState.ONLINE: STYLE_GOOD,
    LoginState.INTERRUPTED: STYLE_BAD,
    LoginState.LOGGED_OUT: STYLE_BAD,
    LoginState.REFUSED: STYLE_BAD,
    LoginState.STOPPED: STYLE_BAD,
}

NEXT_STEPS = {
    LoginState.LOGGED_OUT: "log_in",
    LoginState.REFUSED: "log_in",
    LoginState.WAITING_FOR_SCAN: "new_code",
}
LOGOUT_STATES = frozenset({LoginState.ONLINE, LoginState.INTERRUPTED})

_PLAIN_REASONS = {
    bridge_says(language, word) for language in ("en", "zh") for word in ("scan", "confirm", "starting")
}
"""What the page says better, and in the language of who reads it."""


def live_sections(snapshot: AccountSnapshot, options: PageOptions) -> dict[str, Html]:
    """By name, in the order of the page."""
    say = PageText(options.language)
    return {
        "state": state_section(snapshot, say),
        "code": qr_section(snapshot, say),
        "acts": action_buttons(snapshot, say),
        "problems": problems_section(snapshot, say),
        "figures": figures_section(snapshot, say),
        "messages": messages_section(snapshot.messages, say, show_texts=options.show_texts),
        "commands": commands_section(snapshot.commands, say, show_texts=options.show_texts),
    }


def state_section(snapshot: AccountSnapshot, page_text: PageText) -> Html:
    """How the login stands, and what a person must do now."""
    login = snapshot.login
    what, todo = remedy_for(f"login_{login.state}", page_text.language)
    if login.needs is Needs.CODE:
        what, todo = page_text("number_what"), page_text("number_todo")
    title = tag("strong", page_text(f"state_{login.state}"), class_=f"state {STATE_STYLES[login.state]}")
    since = tag("small", page_text.html("since", time=time_tag(login.since)))
    if login.state is LoginState.ONLINE:
        return join_html(
            [title, tag("p", page_text.html("logged_in_as", name=_bdi(snapshot.view.owner_name))), since]
        )
    reason = (
        None
        if login.reason in _PLAIN_REASONS
        else page_text.html("said_by_bridge", reason=_bdi(login.reason))
    )
    gap = "" if page_text.language == "zh" else " "
    return join_html(
        [title, tag("p", what, gap, todo), None if reason is None else tag("p", reason, class_="soft"), since]
    )


def qr_section(snapshot: AccountSnapshot, page_text: PageText) -> Html:
    """The QR code while one is to be scanned, and how long it is good."""
    if not snapshot.has_qr_code:
        return Html()
    expires = snapshot.login.qr_expires
    source = f"accounts/{snapshot.view.name}/qr.png?{expires or snapshot.login.since}"
    picture = tag("img", src=source, alt=page_text("code"), width=290, height=290)
    if expires is None:
        return picture
    until = tag("p", page_text.html("good_until", time=time_tag(expires)), class_="until")
    left = page_text.html("left", time=tag("span", role="timer"))
    return join_html([picture, until, tag("p", left, class_="left", data_until=expires, hidden=True)])


def action_buttons(snapshot: AccountSnapshot, page_text: PageText) -> Html:
    """The buttons that fit the state."""
    here, now = f"accounts/{snapshot.view.name}", snapshot.login.state
    if snapshot.login.needs is Needs.CODE:
        return _number(snapshot.view.name, page_text)
    if now in NEXT_STEPS:
        main = "main" if NEXT_STEPS[now] == "log_in" else None
        return tag(
            "form",
            tag("button", page_text(NEXT_STEPS[now]), class_=main),
            method="post",
            action=f"{here}/login",
        )
    return (
        tag("a", page_text("log_out"), href=f"{here}/logout", class_="button")
        if now in LOGOUT_STATES
        else Html()
    )


def _number(account: str, page_text: PageText) -> Html:
    key = f"{account}-number"
    field = tag(
        "input",
        id=key,
        name="number",
        type="text",
        inputmode="numeric",
        pattern="[0-9]*",
        maxlength=MAX_CODE_DIGITS,
        required=True,
        autocomplete="off",
    )
    return tag(
        "form",
        tag("label", page_text("number_label"), for_=key),
        tag("div", field, tag("button", page_text("send"), class_="main"), class_="row"),
        method="post",
        action=f"accounts/{account}/number",
    )


def problems_section(snapshot: AccountSnapshot, page_text: PageText) -> Html:
    """What is wrong besides the login, and how to mend it."""
    seen = snapshot.health
    if seen is None:
        return _wrong([("store_trouble", "")], page_text)
    found = [(name, _detail(name, seen)) for name in is_healthy(seen) if not name.startswith("login_")]
    if seen.unresolved:
        found.append(("unresolved_people", ""))
    return _wrong(found, page_text)


def _wrong(problem_details: Sequence[tuple[str, str]], page_text: PageText) -> Html:
    if not problem_details:
        return tag("p", page_text("none_wrong"), class_="soft")
    return tag("ul", *(_problem(name, detail, page_text) for name, detail in problem_details), class_="wrong")


def _problem(name: str, detail: str, page_text: PageText) -> Html:
    what, todo = remedy_for(name, page_text.language)
    told = tag("p", _bdi(detail), class_="soft") if detail else None
    return tag("li", tag("strong", what), told, tag("p", todo))


def _detail(problem: str, health: HealthSnapshot) -> str:
    """What is known of it, in the words of whoever told."""
    match problem:
        case "broker_away" | "standby":
            return health.counters.broker_reason
        case "broker_refuses_topics":
            return ", ".join(health.refused)
        case "store_trouble":
            return health.stats.trouble
        case "loops_stuck":
            return ", ".join(health.stuck)
    return ""


def figures_section(snapshot: AccountSnapshot, page_text: PageText) -> Html:
    """Queues, connections and sizes."""
    seen = snapshot.health
    if seen is None:
        return tag("p", page_text("not_known"), class_="soft")
    stats, counters = seen.stats, seen.counters
    broker = page_text("broker_here", protocol=seen.broker) if seen.broker else page_text("broker_away")
    again = page_text("connects", count=counters.connects - 1) if counters.connects > 1 else ""
    rows = {
        "broker": broker + again,
        "answered": page_text("never") if seen.last_answer is None else time_tag(seen.last_answer),
        "to_mqtt": _queue(stats.waiting_publications, stats.oldest_publication, page_text),
        "to_wechat": _queue(stats.waiting_commands, stats.oldest_command, page_text),
        "to_fetch": f"{stats.pending_media}" if stats.pending_media else page_text("nothing"),
        "failed_today": f"{stats.failed_today}" if stats.failed_today else page_text("nothing"),
        "messages": f"{stats.messages}",
        "store": page_text("of_limit", size=_size(seen.store_size), limit=_size(seen.store_limit)),
        "started": time_tag(counters.started),
    }
    return tag(
        "dl", *(tag("div", tag("dt", page_text(name)), tag("dd", shown)) for name, shown in rows.items())
    )


def _queue(depth: int, oldest: int | None, page_text: PageText) -> str:
    if not depth or oldest is None:
        return page_text("nothing")
    return page_text.html("waiting", count=f"{depth}", time=time_tag(oldest))


def messages_section(lines: Sequence[MessageLine] | None, page_text: PageText, *, show_texts: bool) -> Html:
    """What came in last, the newest first; what it says only where that is wanted."""
    if not lines:
        return tag("p", page_text("not_known" if lines is None else "no_messages"), class_="soft")
    return tag("ol", *(_line(line, page_text, show_texts=show_texts) for line in lines), class_="lines")


def _line(message_line: MessageLine, page_text: PageText, *, show_texts: bool) -> Html:
    who = _bdi(
        page_text("me") if message_line.own else message_line.sender or message_line.chat or message_line.user
    )
    if message_line.group and message_line.sender:
        who = page_text.html("in_group", sender=who, chat=_bdi(message_line.chat or message_line.user))
    text = tag("p", tag("bdi", message_line.text), class_="text") if show_texts else None
    file = (
        tag("a", page_text("open_file"), href=f"media/{message_line.media}")
        if show_texts and message_line.media
        else None
    )
    kind = tag("span", _named("kind", message_line.kind, page_text), class_="kind")
    return tag("li", tag("span", who, class_="who"), kind, _time(message_line.time), text, file)


def commands_section(rows: Sequence[CommandRow] | None, page_text: PageText, *, show_texts: bool) -> Html:
    """The last commands and what became of them, the newest first."""
    if not rows:
        return tag("p", page_text("not_known" if rows is None else "no_commands"), class_="soft")
    return tag("ol", *(_command(row, page_text, show_texts=show_texts) for row in rows), class_="lines")


def _command(row: CommandRow, page_text: PageText, *, show_texts: bool) -> Html:
    result, command = row.result, row.command
    if result is None:
        word, mood, told = "sending" if row.open else "waiting", STYLE_WAITING, None
    else:
        word, mood = str(result.status), STYLE_GOOD if result.status is Status.SENT else STYLE_BAD
        told = tag("p", tag("code", result.code), " ", _bdi(result.message), class_="soft")
    status = tag("span", page_text(f"status_{word}"), class_=f"state {mood}")
    who = tag("span", page_text.html("to_whom", user=_bdi(command.user)), class_="who")
    kind = tag("span", _named("kind", command.kind, page_text), class_="kind")
    text = tag("p", tag("bdi", command.text), class_="text") if show_texts and command.text else None
    return tag("li", who, kind, time_tag(row.accepted), status, text, told)


def file_problems_section(problem_list: Iterable[Problem], page_text: PageText, *, is_running: bool) -> Html:
    """Why the file cannot be used, with each line and cure; nothing where it can."""
    listed = [_file_problem(one) for one in problem_list]
    if not listed:
        return Html()
    title, text = ("reload_title", "reload_text") if is_running else ("file_title", "file_text")
    return tag(
        "section",
        tag("h2", page_text(title)),
        tag("p", page_text(text)),
        tag("ul", *listed, class_="wrong", lang="en"),
        class_="card file",
    )


def _file_problem(problem: Problem) -> Html:
    where = f"{problem.file}:{problem.line}" if problem.line else problem.file
    return tag(
        "li", tag("strong", tag("code", problem.key)), " ", problem.message, tag("p", where, class_="soft")
    )


def time_tag(time: int) -> Html:
    """A moment, in milliseconds since 1970; the script writes it as the reader's clock does."""
    return _time(rfc3339(time))


def _time(timestamp: str) -> Html:
    try:
        plain = datetime.fromisoformat(timestamp).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError):
        plain = timestamp
    return tag("time", plain, datetime=timestamp)


def _named(group: str, name: str, page_text: PageText) -> str:
    word = f"{group}_{name}"
    return page_text(word) if word in PAGE_MESSAGES else name


def _bdi(text: str) -> Html:
    """A name or a sentence of somebody else: its direction of writing ends with it."""
    return text if isinstance(text, Html) else tag("bdi", text)


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
