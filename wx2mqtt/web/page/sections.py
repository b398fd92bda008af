"""The sections of the page that update themselves, each the content of one element. Pure.

A section renders to the same text as long as nothing that it shows has changed: only changed text is sent.
"""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from wx2mqtt.bridge.health import COMMANDS_FAILED, SHOWN_FAILING_USERS, HealthSnapshot, active_problems
from wx2mqtt.errors import Problem
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.i18n.settings import sentence_text
from wx2mqtt.i18n.web import remedy_for
from wx2mqtt.model import LoginState, Needs, Status
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.values import frozen
from wx2mqtt.web.bridge_state import BridgeState, ClusterState, InstanceState
from wx2mqtt.web.html import PageText, isolated, join_html, kind_label, tag, time_tag
from wx2mqtt.web.page.account_data import AccountSnapshot
from wx2mqtt.web.page.charts import hours_section, window_state, windows_section
from wx2mqtt.web.page.first_steps import no_commands_hint, no_configuration_section, steps_section
from wx2mqtt.web.page.forms import owner_section, questions_section, verification_code_form
from wx2mqtt.web.page.messages import messages_section

# Keys that the page names of each instance that differs.
SHOWN_KEYS = 5

QR_IMAGE_PIXELS = 290


@frozen(kw_only=False)
class PageOptions:
    language: Language
    #: Whether the texts of messages and commands are shown.
    show_texts: bool = False

    @property
    def query(self) -> str:
        """The query of an address that keeps the choice; empty for the default."""
        return "?texts=1" if self.show_texts else ""


def live_sections(snapshot: AccountSnapshot, options: PageOptions) -> dict[str, Markup]:
    """Returns the sections of an account by name, in the order of the page."""
    page_text = PageText(options.language)
    return {
        "steps": steps_section(snapshot, page_text),
        "problems": problems_section(snapshot, page_text),
        "state": state_section(snapshot, page_text),
        "code": qr_section(snapshot, page_text),
        "acts": action_buttons(snapshot, page_text),
        "windows": windows_section(snapshot, page_text),
        "hours": hours_section(snapshot, page_text),
        "messages": messages_section(snapshot, page_text, show_texts=options.show_texts),
        "questions": questions_section(snapshot, page_text, show_texts=options.show_texts),
        "commands": commands_section(snapshot, page_text, show_texts=options.show_texts),
        "figures": figures_section(snapshot, page_text),
    }


# The login


@frozen
class LoginStateView:
    #: A key of `PAGE_MESSAGES`.
    title: str
    style: str
    #: A key of `PAGE_MESSAGES`; empty where no login can be requested.
    login_button: str = ""
    can_log_out: bool = False


LOGIN_STATES: Mapping[LoginState, LoginStateView] = {
    LoginState.STARTING: LoginStateView(title="state_starting", style="waits"),
    LoginState.WAITING_FOR_SCAN: LoginStateView(
        title="state_waiting_for_scan", style="waits", login_button="new_code"
    ),
    LoginState.WAITING_FOR_CONFIRM: LoginStateView(title="state_waiting_for_confirm", style="waits"),
    LoginState.ONLINE: LoginStateView(title="state_online", style="good", can_log_out=True),
    LoginState.INTERRUPTED: LoginStateView(title="state_interrupted", style="bad", can_log_out=True),
    LoginState.LOGGED_OUT: LoginStateView(title="state_logged_out", style="bad", login_button="log_in"),
    LoginState.REFUSED: LoginStateView(title="state_refused", style="bad", login_button="log_in"),
    LoginState.STOPPED: LoginStateView(title="state_stopped", style="bad"),
}

# Reasons of the login that the remedy already gives, in the language of the viewer.
_OMITTED_REASONS = {
    bridge_text(language, key) for language in ("en", "zh") for key in ("scan", "confirm", "starting")
}


def state_section(snapshot: AccountSnapshot, page_text: PageText) -> Markup:
    """Returns the login state, and what a person must do now."""
    login = snapshot.login
    state = LOGIN_STATES[login.state]
    title = tag("strong", page_text(state.title), class_=f"state {state.style}")
    since = tag("small", page_text.html("since", time=time_tag(login.since)))
    if login.state is LoginState.ONLINE:
        owner = page_text.html("logged_in_as", name=isolated(snapshot.view.login_name))
        renewal = None if login.needs is Needs.NOTHING else tag("p", isolated(login.reason))
        return join_html([title, tag("p", owner), renewal, since])
    if login.needs is Needs.CODE:
        problem, remedy = page_text("number_what"), page_text("number_todo")
    else:
        problem, remedy = remedy_for(f"login_{login.state}", page_text.language)
    reason = None
    if login.reason not in _OMITTED_REASONS:
        quoted = page_text.html("said_by_bridge", reason=isolated(login.reason))
        reason = tag("p", quoted, class_="soft")
    separator = "" if page_text.language == "zh" else " "
    return join_html([title, tag("p", problem, separator, remedy), reason, since])


def qr_section(snapshot: AccountSnapshot, page_text: PageText) -> Markup:
    """Returns the QR code to scan and until when it is valid; empty without one."""
    if not snapshot.has_qr_code:
        return Markup()
    login = snapshot.login
    # The query is another one for each code, so that a browser does not show the one before.
    source = f"accounts/{snapshot.view.name}/qr.png?{login.qr_expires or login.since}"
    image = tag("img", src=source, alt=page_text("code"), width=QR_IMAGE_PIXELS, height=QR_IMAGE_PIXELS)
    if login.qr_expires is None:
        return image
    until = tag("p", page_text.html("good_until", time=time_tag(login.qr_expires)), class_="until")
    countdown = page_text.html("left", time=tag("span", role="timer"))
    return join_html(
        [image, until, tag("p", countdown, class_="left", data_until=login.qr_expires, hidden=True)]
    )


def action_buttons(snapshot: AccountSnapshot, page_text: PageText) -> Markup:
    """Returns the forms and links that are of use in the login state; empty without one."""
    account = snapshot.view.name
    state = LOGIN_STATES[snapshot.login.state]
    if snapshot.login.needs is Needs.CODE:
        return verification_code_form(account, page_text)
    if state.can_log_out:
        question = owner_section(account, snapshot.view.bot_owner, page_text)
        try_now = None
        if snapshot.view.is_login_postponed:
            try_now = _login_form(account, "try_login", page_text)
        log_out = tag("a", page_text("log_out"), href=f"accounts/{account}/logout", class_="button")
        return join_html([question, try_now, log_out])
    if not state.login_button:
        return Markup()
    form = _login_form(account, state.login_button, page_text)
    if not snapshot.view.had_login:
        return form
    new_owner = tag("a", page_text("new_owner"), href=f"accounts/{account}/new-owner")
    return join_html([form, tag("p", new_owner)])


def _login_form(account: str, button_key: str, page_text: PageText) -> Markup:
    style = None if button_key == "new_code" else "main"
    button = tag("button", page_text(button_key), class_=style)
    return tag("form", button, method="post", action=f"accounts/{account}/login")


# Problems and figures


def problems_section(snapshot: AccountSnapshot, page_text: PageText) -> Markup:
    """Returns the problems besides the login, with details and remedies.

    Without a login nothing else is said: the section of the login, which is the next one, says what is wrong.
    """
    health = snapshot.health
    if health is None:
        problems = {"store_trouble": ""}
    else:
        problems = {problem: _problem_detail(problem, health) for problem in active_problems(health)}
        problems.pop(f"login_{health.login.state}", None)  # the state section shows it
        if health.unresolved:
            problems["unresolved_people"] = ""
    if not problems:
        is_online = snapshot.login.state is LoginState.ONLINE
        return tag("p", page_text("none_wrong"), class_="soft") if is_online else Markup()
    items: list[Markup] = []
    for problem, detail in problems.items():
        sentence, remedy = remedy_for(problem, page_text.language)
        detail_line = tag("p", isolated(detail), class_="soft") if detail else None
        failed = _failed_commands(snapshot, page_text) if problem == COMMANDS_FAILED else None
        items.append(tag("li", tag("strong", sentence), detail_line, failed, tag("p", remedy)))
    return tag("ul", *items, class_="wrong")


def _failed_commands(snapshot: AccountSnapshot, page_text: PageText) -> Markup | None:
    """Returns why the newest command to each failing user was not sent, as far as the last ones show it."""
    failing = set(snapshot.health.failing) if snapshot.health else set()
    lines: list[Markup] = []
    for row in snapshot.commands or ():
        user, result = row.command.user, row.result
        if user not in failing or result is None:
            continue
        failing.discard(user)  # an older one says no more
        recipient = tag("strong", page_text.html("to_whom", user=isolated(user)))
        lines.append(tag("p", recipient, " ", tag("code", result.code), " ", isolated(result.message)))
    return join_html(lines) if lines else None


def _problem_detail(problem: str, health: HealthSnapshot) -> str:
    match problem:
        case "broker_away" | "standby":
            return health.counters.broker_reason
        case "broker_refuses_topics":
            return ", ".join(health.refused)
        case "store_trouble":
            return health.stats.trouble
        case "loops_stuck":
            return ", ".join(health.stuck)
        case "commands_failed":
            return ", ".join(health.failing[-SHOWN_FAILING_USERS:])
    return ""


def figures_section(snapshot: AccountSnapshot, page_text: PageText) -> Markup:
    health = snapshot.health
    if health is None:
        return tag("p", page_text("not_known"), class_="soft")
    stats, counters = health.stats, health.counters
    broker = page_text("broker_here", protocol=health.broker) if health.broker else page_text("broker_away")
    reconnects = page_text("connects", count=counters.connects - 1) if counters.connects > 1 else ""
    values = {
        "broker": broker + reconnects,
        "answered": page_text("never") if health.last_answer is None else time_tag(health.last_answer),
        "to_mqtt": _queue_value(stats.waiting_publications, stats.oldest_publication, page_text),
        "to_wechat": _queue_value(stats.waiting_commands, stats.oldest_command, page_text),
        "to_fetch": f"{stats.pending_media}" if stats.pending_media else page_text("nothing"),
        "failed_today": f"{stats.failed_today}" if stats.failed_today else page_text("nothing"),
        "messages": f"{stats.messages}",
        "store": page_text("of_limit", size=_size(health.store_size), limit=_size(health.store_limit)),
        "started": time_tag(counters.started),
    }
    if health.login_age is not None and health.login_seconds_left is not None:
        days, left = round(health.login_age / 86_400), round(health.login_seconds_left / 86_400)
        values["login_age"] = page_text("login_days", days=days, left=left)
    rows = (tag("div", tag("dt", page_text(key)), tag("dd", value)) for key, value in values.items())
    return tag("dl", *rows)


def _queue_value(depth: int, oldest: int | None, page_text: PageText) -> str:
    if not depth or oldest is None:
        return page_text("nothing")
    return page_text.html("waiting", count=f"{depth}", time=time_tag(oldest))


def _size(size_bytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size_bytes < 999.5:  # above it the number would be rounded to 1000
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} GB"


# Commands

# The key of `PAGE_MESSAGES` and the style for each status of a result.
RESULT_STATUSES: Mapping[Status, tuple[str, str]] = {
    Status.SENT: ("status_sent", "good"),
    Status.FAILED: ("status_failed", "bad"),
    Status.EXPIRED: ("status_expired", "bad"),
    Status.REJECTED: ("status_rejected", "bad"),
    Status.UNCERTAIN: ("status_uncertain", "bad"),
}


def commands_section(snapshot: AccountSnapshot, page_text: PageText, *, show_texts: bool) -> Markup:
    """Returns the last commands with their results, the newest first; their texts only with `show_texts`."""
    if snapshot.commands is None:
        return tag("p", page_text("not_known"), class_="soft")
    if not snapshot.commands:
        return no_commands_hint(snapshot.view, page_text)
    items = (_command_item(row, snapshot, page_text, show_texts=show_texts) for row in snapshot.commands)
    return tag("ol", *items, class_="lines")


def _command_item(
    row: CommandRow, snapshot: AccountSnapshot, page_text: PageText, *, show_texts: bool
) -> Markup:
    command, result = row.command, row.result
    result_line: Markup | None
    if result is not None:
        key, style = RESULT_STATUSES[result.status]
        result_line = tag("p", tag("code", result.code), " ", isolated(result.message), class_="soft")
    else:
        key, style = "status_sending" if row.attempt_open else "status_waiting", "waits"
        result_line = None if row.attempt_open else _waiting_reason(command.user, snapshot, page_text)
    return tag(
        "li",
        tag("span", page_text.html("to_whom", user=isolated(command.user)), class_="who"),
        kind_label(command.kind, page_text),
        time_tag(row.accepted),
        tag("span", page_text(key), class_=f"state {style}"),
        tag("p", tag("bdi", command.text), class_="text") if show_texts and command.text else None,
        result_line,
        tag("p", page_text.html("command_id", id=tag("code", row.command_id)), class_="soft id"),
        tag("p", page_text.html("sent_by", sender=isolated(command.sender)), class_="soft")
        if command.sender
        else None,
    )


def _waiting_reason(user: str, snapshot: AccountSnapshot, page_text: PageText) -> Markup | None:
    """Returns why a command to this user waits, where the window is shut; None where it will soon be sent."""
    forecast = snapshot.view.forecasts.get(user)
    if forecast is None or forecast.window.open:
        return None
    return tag("p", window_state(forecast.window, page_text), class_="soft")


# The whole process


def file_section(bridge: BridgeState, page_text: PageText) -> Markup:
    """Returns what is wrong with the database, and with the configuration file."""
    outage, problems, setup_command = bridge.outage(), bridge.problems(), bridge.setup_command()
    sections: list[Markup] = []
    if outage is not None:
        title = tag("h2", page_text("outage_title"))
        since = tag("p", page_text.html("outage_text", time=time_tag(outage.since)))
        reason = tag("p", isolated(outage.reason), class_="soft")
        sections.append(tag("section", title, since, reason, class_="card file", role="alert"))
    if problems and setup_command and not bridge.is_running:
        sections.append(no_configuration_section(setup_command, page_text))
    elif problems:
        title_key, text_key = "file_title", "file_text"
        if bridge.is_running:
            title_key, text_key = "reload_title", "reload_text"
        title, text = tag("h2", page_text(title_key)), tag("p", page_text(text_key))
        items = (_file_problem(problem, page_text) for problem in problems)
        sections.append(tag("section", title, text, tag("ul", *items, class_="wrong"), class_="card file"))
    return join_html(sections)


def _file_problem(problem: Problem, page_text: PageText) -> Markup:
    position = f"{problem.file}:{problem.line}" if problem.line else problem.file
    sentence = sentence_text(problem.message, page_text.language)
    key = tag("strong", tag("code", problem.key))
    return tag("li", key, " ", sentence, tag("p", position, class_="soft"))


def cluster_section(state: ClusterState, page_text: PageText) -> Markup:
    """Returns where each account runs, with links to the pages of other instances."""
    warnings: list[str] = []
    if state.waiting:
        warnings.append(page_text("cluster_waiting", accounts=", ".join(state.waiting)))
    for name, keys in state.differences.items():
        if keys:
            warnings.append(page_text("cluster_differs", instance=name, keys=", ".join(keys[:SHOWN_KEYS])))
    return tag(
        "section",
        tag("h2", page_text("cluster")),
        tag("ul", *(_instance_item(instance, page_text) for instance in state.instances)),
        *(tag("p", warning, class_="wrong") for warning in warnings),
        class_="card cluster",
    )


def _instance_item(instance: InstanceState, page_text: PageText) -> Markup:
    name = tag("strong", instance.name)
    has_link = instance.url.startswith(("http://", "https://")) and not instance.is_here
    parts: list[str] = [tag("a", name, href=instance.url) if has_link else name]
    if instance.is_here:
        parts.append(page_text("cluster_here"))
    if instance.is_draining:
        parts.append(page_text("cluster_drains"))
    accounts = ", ".join(instance.accounts) or page_text("cluster_none")
    return tag("li", join_html(parts), ": ", accounts, " ", tag("small", instance.version, class_="soft"))
