"""What a newcomer does next: the steps up to the first message, and the hints of empty lists. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from wx2mqtt.bridge.view import AccountView
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.i18n.web import remedy_for
from wx2mqtt.model import LoginState, Needs
from wx2mqtt.values import frozen
from wx2mqtt.web.html import PageText, card, isolated, join_html, tag
from wx2mqtt.web.page.account_data import AccountSnapshot


@frozen
class FirstStep:
    """One step; `title` is a key of `PAGE_MESSAGES`, `hint` says what a person does."""

    title: str
    is_done: bool
    hint: Markup | None = None


def steps_section(snapshot: AccountSnapshot, page_text: PageText) -> Markup:
    """Returns what is done and what is next; empty once the first message of the account was published."""
    health = snapshot.health
    if health is None or health.stats.messages:
        return Markup()
    view, login, language = snapshot.view, snapshot.login, page_text.language
    configuration_hint = reason = remark = None
    if snapshot.setup_command:  # without a file it has the settings that need none
        command = tag("code", snapshot.setup_command)
        configuration_hint = tag("p", page_text.html("step_configuration_default", command=command))
    if health.counters.broker_reason:
        reason = tag("p", isolated(health.counters.broker_reason), class_="soft")
    broker_hint = join_html([reason, tag("p", remedy_for("broker_away", language)[1])])
    if login.needs is Needs.CODE:
        login_hint = tag("p", page_text("number_todo"))
    else:
        login_hint = tag("p", remedy_for(f"login_{login.state}", language)[1])
    if view.missing_safeguards:  # nothing helps while WeChat takes no message
        remark = tag("p", bridge_text(language, view.missing_safeguards), class_="soft")
    is_online = login.state is LoginState.ONLINE
    steps = (
        FirstStep(title="step_configuration", is_done=True, hint=configuration_hint),
        FirstStep(title="step_broker", is_done=bool(health.broker), hint=broker_hint),
        FirstStep(title="step_login", is_done=is_online, hint=login_hint),
        FirstStep(title="step_message", is_done=False, hint=_message_hint(view, page_text)),
    )
    return _steps_card(steps, f"{view.name}-steps", "h3", page_text, remark)


def no_configuration_section(setup_command: str, page_text: PageText) -> Markup:
    """Returns the steps of a bridge that does not run, because there is no configuration file yet."""
    hint = tag("p", page_text.html("step_configuration_now", command=tag("code", setup_command)))
    steps = (
        FirstStep(title="step_configuration", is_done=False, hint=hint),
        FirstStep(title="step_broker", is_done=False),
        FirstStep(title="step_login", is_done=False),
        FirstStep(title="step_message", is_done=False),
    )
    return _steps_card(steps, "steps", "h2", page_text)


def no_messages_hint(snapshot: AccountSnapshot, page_text: PageText) -> Markup:
    """Returns that no message has come, and what makes one come."""
    if snapshot.login.state is LoginState.ONLINE:
        next_step = _message_hint(snapshot.view, page_text)
    else:
        next_step = tag("p", page_text("log_in_before"), class_="soft")
    return join_html([tag("p", page_text("no_messages"), class_="soft"), next_step])


def no_commands_hint(view: AccountView, page_text: PageText) -> Markup:
    """Returns that no command has come, and how one is given."""
    nothing_yet = tag("p", page_text("no_commands"), class_="soft")
    if not view.test_recipient:
        return join_html([nothing_yet, tag("p", page_text("nobody_to_write_to"), class_="soft")])
    command = f"mosquitto_pub -q 1 -t '{view.topics.out(view.test_recipient)}' -m 'hello'"
    return join_html([nothing_yet, tag("p", page_text.html("how_to_send", command=tag("code", command)))])


def _message_hint(view: AccountView, page_text: PageText) -> Markup:
    hint = "step_message_contacts" if view.has_contacts else "step_message_bot"
    return tag("p", page_text.html(hint, topic=tag("code", view.topics.message("+"))))


def _steps_card(
    steps: Sequence[FirstStep], card_id: str, heading: str, page_text: PageText, remark: Markup | None = None
) -> Markup:
    """Returns the steps. The next one has its hint, and a finished one what is worth knowing about it."""
    current = next((step for step in steps if not step.is_done), None)
    items: list[Markup] = []
    for step in steps:
        name, later = tag("strong", page_text(step.title)), None
        hint = step.hint
        if step.is_done:
            mark = tag("span", page_text("step_done"), class_="mark good")
            hint = step.hint if step.title == "step_configuration" else None
        elif step is current:
            mark = tag("span", page_text("step_now"), class_="mark waits")
        else:
            mark, hint, later = tag("span", page_text("step_later"), class_="mark soft"), None, "soft"
        here = "step" if step is current else None
        items.append(tag("li", name, " ", mark, hint, class_=later, aria_current=here))
    ordered = tag("ol", *items, class_="steps")
    return card(card_id, page_text("steps_title"), ordered, remark, heading=heading, style="first")
