"""What a newcomer does next: the steps up to the first message, and the hints of empty lists. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from wx2mqtt.bridge.account_view import AccountView
from wx2mqtt.bridge.health import HealthSnapshot
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.i18n.web import remedy_for
from wx2mqtt.model import LoginState, Needs
from wx2mqtt.values import frozen
from wx2mqtt.web.html import PageText, card, isolated, join_html, tag
from wx2mqtt.web.page.account_data import AccountSnapshot


@frozen
class FirstStep:
    """One step, which the page shows as done, current or later."""

    #: A key of `PAGE_MESSAGES`.
    title: str
    is_done: bool = False
    #: What a person does, or what is worth knowing of a step that is done.
    hint: Markup | None = None


def steps_section(snapshot: AccountSnapshot, page_text: PageText) -> Markup:
    """Returns what is done and what is next; empty once the first message of the account was published."""
    health = snapshot.health
    if health is None or health.stats.messages:
        return Markup()
    view, remark = snapshot.view, None
    if view.missing_safeguards:  # alarms may be lost while WeChat takes no message
        remark = tag("p", bridge_text(page_text.language, view.missing_safeguards), class_="soft")
    steps = (
        _configuration_step(snapshot.setup_command, page_text),
        _broker_step(health, page_text),
        _login_step(snapshot.login, page_text),
        FirstStep(title="step_message", hint=_message_hint(view, page_text)),
    )
    return _steps_card(steps, f"{view.name}-steps", "h3", page_text, remark)


def _configuration_step(setup_command: str, page_text: PageText) -> FirstStep:
    if not setup_command:
        return FirstStep(title="step_configuration", is_done=True)
    # There is no file: the bridge runs with the settings that need none.
    hint = tag("p", page_text.html("step_configuration_default", command=tag("code", setup_command)))
    return FirstStep(title="step_configuration", is_done=True, hint=hint)


def _broker_step(health: HealthSnapshot, page_text: PageText) -> FirstStep:
    if health.broker:
        return FirstStep(title="step_broker", is_done=True)
    reason = health.counters.broker_reason
    remedy = tag("p", remedy_for("broker_away", page_text.language)[1])
    hint = join_html([tag("p", isolated(reason), class_="soft") if reason else None, remedy])
    return FirstStep(title="step_broker", hint=hint)


def _login_step(login: LoginStatus, page_text: PageText) -> FirstStep:
    if login.state is LoginState.ONLINE:
        return FirstStep(title="step_login", is_done=True)
    if login.needs is Needs.CODE:
        return FirstStep(title="step_login", hint=tag("p", page_text("number_todo")))
    hint = tag("p", remedy_for(f"login_{login.state}", page_text.language)[1])
    return FirstStep(title="step_login", hint=hint)


def no_configuration_section(setup_command: str, page_text: PageText) -> Markup:
    """Returns the steps of a bridge that does not run, because there is no configuration file yet."""
    hint = tag("p", page_text.html("step_configuration_now", command=tag("code", setup_command)))
    later = (FirstStep(title=title) for title in ("step_broker", "step_login", "step_message"))
    steps = (FirstStep(title="step_configuration", hint=hint), *later)
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
    current = next((step for step in steps if not step.is_done), None)
    items = [_step_item(step, page_text, is_current=step is current) for step in steps]
    content = tag("ol", *items, class_="steps"), remark
    return card(card_id, page_text("steps_title"), *content, heading=heading, style="first")


def _step_item(step: FirstStep, page_text: PageText, *, is_current: bool) -> Markup:
    """Returns one step, without its hint if it comes after the current one."""
    name = tag("strong", page_text(step.title))
    if step.is_done:
        return tag("li", name, " ", tag("span", page_text("step_done"), class_="mark good"), step.hint)
    if is_current:
        mark = tag("span", page_text("step_now"), class_="mark waits")
        return tag("li", name, " ", mark, step.hint, aria_current="step")
    return tag("li", name, " ", tag("span", page_text("step_later"), class_="mark soft"), class_="soft")
