"""The forms of an account on the page. Pure.

    send_form                 a text to anybody
    test_form                 a test to oneself, in place of it where texts may not be sent to anybody
    verification_code_form    the number that a login asks for
    owner_section             on WeCom: whether the bot is the viewer's, and which of its people the viewer is
    questions_section         closes an open question

All forms with one field, those of the searches as well, are made by `one_field_form`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from markupsafe import Markup

from wx2mqtt.bridge.account_view import AccountView
from wx2mqtt.bridge.bot_owner import BotOwnerState, OwnerNeed
from wx2mqtt.bridge.people.directory import DirectoryEntry
from wx2mqtt.limits import MAX_CODE_DIGITS, MAX_TOPIC_NAME_BYTES
from wx2mqtt.store.question_records import AskedQuestion
from wx2mqtt.web.html import Attribute, PageText, isolated, join_html, tag, time_tag
from wx2mqtt.web.page.account_data import AccountSnapshot

# The text in a form. Each Chinese character takes nine bytes of the body, which may have `MAX_BODY_BYTES`.
MAX_FORM_TEXT_CHARACTERS = 1500

MAX_QUERY_CHARACTERS = 100  # of a search in contacts or messages

# So many people are offered while somebody types a recipient. Every other name can be typed, too.
SUGGESTED_PEOPLE = 20

# So many people are offered as the owner of a bot, the newest first. Others are named by `request/owner`.
OFFERED_PEOPLE = 20


def send_form(
    view: AccountView,
    recipient: str,
    token: str,
    suggestions: Iterable[DirectoryEntry],
    page_text: PageText,
) -> Markup:
    """Returns the form that sends a text to anybody.

    `recipient` is chosen already, or empty. `token` is that of the page (`PageQuery`).
    """
    name = view.name
    recipient_field = tag(
        "input",
        id=f"{name}-send-user",
        name="user",
        type="text",
        value=recipient or view.test_recipient,
        list=f"{name}-send-people",
        maxlength=MAX_TOPIC_NAME_BYTES,
        required=True,
        autocomplete="off",
    )
    people = (tag("option", entry.name, value=entry.user) for entry in suggestions)
    text_field = tag(
        "textarea",
        id=f"{name}-send-text",
        name="text",
        rows=2,
        maxlength=MAX_FORM_TEXT_CHARACTERS,
        required=True,
        autofocus=bool(recipient),
    )
    return tag(
        "form",
        tag("label", page_text("send_to"), for_=f"{name}-send-user"),
        recipient_field,
        tag("datalist", *people, id=f"{name}-send-people"),
        tag("label", page_text("send_text"), for_=f"{name}-send-text"),
        text_field,
        tag("input", type="hidden", name="token", value=token),
        tag("p", tag("button", page_text("send"), class_="main")),
        method="post",
        action=f"accounts/{name}/send",
        class_="send",
    )


def test_form(view: AccountView, token: str, page_text: PageText) -> Markup:
    """Returns the form that sends a test; empty while no recipient is known."""
    if not view.test_recipient:
        return Markup()
    field: dict[str, Attribute] = {
        "id": f"{view.name}-test",
        "name": "text",
        "type": "text",
        "value": page_text("test_text"),
        "maxlength": MAX_FORM_TEXT_CHARACTERS,
        "required": True,
    }
    label = page_text("test_label", user=view.test_recipient)
    button = tag("button", page_text("send"))
    action = f"accounts/{view.name}/test"
    return one_field_form(
        label, field, button, hidden={"token": token}, method="post", action=action, class_="after"
    )


def verification_code_form(account: str, page_text: PageText) -> Markup:
    field: dict[str, Attribute] = {
        "id": f"{account}-number",
        "name": "number",
        "type": "text",
        "inputmode": "numeric",
        "pattern": "[0-9]*",
        "maxlength": MAX_CODE_DIGITS,
        "required": True,
    }
    button = tag("button", page_text("send"), class_="main")
    action = f"accounts/{account}/number"
    return one_field_form(page_text("number_label"), field, button, method="post", action=action)


def owner_section(account: str, state: BotOwnerState | None, page_text: PageText) -> Markup:
    """Returns the next question about the owner of an account; empty where there is none."""
    if state is None or state.need is OwnerNeed.NOTHING:
        return Markup()
    if state.need is OwnerNeed.BOT:
        return _confirmation(account, state.bot_id, page_text)
    if not state.people:
        return tag("p", page_text("owner_nobody"))
    return join_html([tag("p", page_text("owner_who")), tag("ul", *_choices(account, state, page_text))])


def _confirmation(account: str, bot_id: str, page_text: PageText) -> Markup:
    """Returns the question whether the bot is the viewer's; its form names the bot that is meant."""
    question = tag("p", page_text.html("bot_whose", bot=tag("code", bot_id)))
    form = tag(
        "form",
        tag("input", type="hidden", name="bot", value=bot_id),
        tag("button", page_text("bot_mine"), class_="main"),
        method="post",
        action=f"accounts/{account}/confirm-bot",
    )
    other = tag("a", page_text("bot_not_mine"), href=f"accounts/{account}/new-owner")
    return join_html([question, form, tag("p", other)])


def _choices(account: str, state: BotOwnerState, page_text: PageText) -> Iterator[Markup]:
    """Yields a form for each person; one press names them."""
    for person in state.people[:OFFERED_PEOPLE]:
        form = tag(
            "form",
            tag("input", type="hidden", name="user", value=person.user),
            isolated(person.name),
            " ",
            tag("button", page_text("this_is_me"), aria_label=page_text("this_is_me_as", name=person.name)),
            method="post",
            action=f"accounts/{account}/owner",
            class_="row",
        )
        yield tag("li", form)


def questions_section(snapshot: AccountSnapshot, page_text: PageText, *, show_texts: bool) -> Markup:
    """Returns the open questions, each with a form that closes it; empty where none is open, or known."""
    if not snapshot.questions:
        return Markup()
    account = snapshot.view.name
    items: list[Markup] = []
    for question in snapshot.questions:
        lines = _question_lines(question, page_text, show_texts=show_texts)
        items.append(tag("li", *lines, _close_form(account, question, page_text)))
    return join_html([tag("h4", page_text("open_questions")), tag("ol", *items, class_="lines")])


def _question_lines(question: AskedQuestion, page_text: PageText, *, show_texts: bool) -> Iterator[Markup]:
    yield tag("span", page_text.html("to_whom", user=isolated(question.asker.user)), class_="who")
    yield time_tag(question.asked)
    if show_texts:
        buttons = " · ".join(button.text for button in question.buttons)
        yield tag("p", tag("bdi", question.text), class_="text")
        yield tag("p", tag("bdi", buttons), class_="text soft")
    if question.until is not None:
        yield tag("p", page_text.html("question_until", time=time_tag(question.until)), class_="soft")
    if question.fallback_account:  # another account has sent it in place of the one that asks
        where = isolated(question.fallback_account)
        yield tag("p", page_text.html("question_fallback", account=where), class_="soft")
    yield tag("p", page_text.html("command_id", id=tag("code", question.asker.command_id)), class_="soft id")


def _close_form(account: str, question: AskedQuestion, page_text: PageText) -> Markup:
    label = page_text("question_close_as", id=question.asker.command_id)
    return tag(
        "form",
        tag("input", type="hidden", name="question", value=question.asker.command_id),
        tag("button", page_text("question_close"), aria_label=label),
        method="post",
        action=f"accounts/{account}/close-question",
    )


def one_field_form(
    label: str,
    field: Mapping[str, Attribute],
    button: Markup,
    *,
    hidden: Mapping[str, str] | None = None,
    **attributes: Attribute,
) -> Markup:
    """Returns a form with one input that a person fills in; `hidden` are further values that it sends."""
    return tag(
        "form",
        tag("label", label, for_=field["id"]),
        *(tag("input", type="hidden", name=name, value=value) for name, value in (hidden or {}).items()),
        tag("div", tag("input", **field, autocomplete="off"), button, class_="row"),
        **attributes,
    )
