"""The forms of an account: a text to anybody, a test to oneself, the number that a login asks for. Pure.

Only a viewer who gave the password, or whose browser runs on the machine of the bridge, may send texts to
anybody (`may_send_to_anybody`). Every other viewer can send a test to the owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from markupsafe import Markup

from wx2mqtt.bridge.people.registry import DirectoryEntry
from wx2mqtt.bridge.view import AccountView
from wx2mqtt.limits import MAX_CODE_DIGITS, MAX_TOPIC_NAME_BYTES
from wx2mqtt.values import frozen
from wx2mqtt.web.html import Attribute, PageText, tag

# Of the text of a form. Each Chinese character takes nine bytes of the body, which has `MAX_BODY_BYTES`.
MAX_FORM_TEXT_CHARACTERS = 1500

# A search in contacts or messages.
MAX_QUERY_CHARACTERS = 100

# People who are offered while somebody types a recipient; every other name can be typed, too.
SUGGESTED_PEOPLE = 20


def may_send_to_anybody(*, requires_password: bool, is_local: bool) -> bool:
    """Returns whether a viewer, who may see the page, may send texts to everybody.

    Home Assistant's Ingress and a reverse proxy without a password of ours let people through whom the bridge
    cannot tell from each other.
    """
    return requires_password or is_local


def send_form(
    view: AccountView,
    recipient: str,
    token: str,
    suggestions: Iterable[DirectoryEntry],
    page_text: PageText,
) -> Markup:
    """Returns the form that sends a text to anybody; `recipient` is chosen already, or empty."""
    name = view.name
    options = (tag("option", entry.name, value=entry.user) for entry in suggestions)
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
        tag("datalist", *options, id=f"{name}-send-people"),
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
    field_id = f"{view.name}-test"
    field = tag(
        "input",
        id=field_id,
        name="text",
        type="text",
        value=page_text("test_text"),
        maxlength=MAX_FORM_TEXT_CHARACTERS,
        required=True,
        autocomplete="off",
    )
    return tag(
        "form",
        tag("label", page_text("test_label", user=view.test_recipient), for_=field_id),
        tag("input", type="hidden", name="token", value=token),
        tag("div", field, tag("button", page_text("send")), class_="row"),
        method="post",
        action=f"accounts/{view.name}/test",
        class_="after",
    )


def verification_code_form(account: str, page_text: PageText) -> Markup:
    field_id = f"{account}-number"
    field = tag(
        "input",
        id=field_id,
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
        tag("label", page_text("number_label"), for_=field_id),
        tag("div", field, tag("button", page_text("send"), class_="main"), class_="row"),
        method="post",
        action=f"accounts/{account}/number",
    )


@frozen
class SearchField:
    """What somebody types into a form that searches."""

    field_id: str
    name: str
    value: str
    label: str
    is_required: bool = False


def search_form(
    search: SearchField, page_text: PageText, hidden: Mapping[str, str], **attributes: Attribute
) -> Markup:
    """Returns a form that searches; `hidden` are further values that it sends."""
    field = tag(
        "input",
        id=search.field_id,
        name=search.name,
        type="search",
        value=search.value,
        maxlength=MAX_QUERY_CHARACTERS,
        required=search.is_required,
        autocomplete="off",
    )
    return tag(
        "form",
        tag("label", search.label, for_=search.field_id),
        *(tag("input", type="hidden", name=name, value=value) for name, value in hidden.items()),
        tag("div", field, tag("button", page_text("search")), class_="row"),
        method="get",
        role="search",
        **attributes,
    )
