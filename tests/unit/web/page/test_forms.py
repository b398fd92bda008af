"""The forms of an account as HTML: what a person fills in, and what goes along hidden."""

from __future__ import annotations

from typing import Any

from tests.support.page import FakeAccountView, PageElements, entry
from wx2mqtt.web.html import PageText, tag
from wx2mqtt.web.page import forms

EN = PageText("en")


def elements(form: str) -> PageElements:
    return PageElements(f"<main>{form}</main>")


def test_a_form_with_one_field_has_its_label_and_its_hidden_values() -> None:
    form = forms.one_field_form(
        'Say <what> "it" is',
        {"id": "x", "name": "text", "value": '"><b>'},
        tag("button", "Send"),
        hidden={"token": "a&b"},
        action="there",
    )
    page = elements(form)
    ((label, text),) = page.all("label")
    assert (label["for"], text) == ("x", 'Say <what> "it" is')
    hidden, field = (attributes for attributes, _ in page.all("input"))
    assert (hidden["type"], hidden["name"], hidden["value"]) == ("hidden", "token", "a&b")
    assert (field["value"], field["autocomplete"]) == ('"><b>', "off")
    assert page.all("b") == []
    assert page.all("form")[0][0]["action"] == "there"


def test_the_recipient_of_a_text_is_the_chosen_person_or_else_the_usual_one() -> None:
    view: Any = FakeAccountView()
    for chosen, value in (("wife", "wife"), ("", view.test_recipient)):
        page = elements(forms.send_form(view, chosen, "token", [entry("wife", name="老婆")], EN))
        ((recipient, _),) = page.all("input", name="user")
        assert recipient["value"] == value
        assert recipient["list"] == page.all("datalist")[0][0]["id"]
        ((text, _),) = page.all("textarea")
        assert text["maxlength"] == str(forms.MAX_FORM_TEXT_CHARACTERS)
        assert ("autofocus" in text) is bool(chosen)


def test_without_somebody_to_write_to_there_is_no_form_for_a_test() -> None:
    view: Any = FakeAccountView()
    view.test_recipient = "me <3"
    assert "me <3" in elements(forms.test_form(view, "token", EN)).text("label")
    view.test_recipient = ""
    assert forms.test_form(view, "token", EN) == ""


def test_the_number_of_the_phone_is_typed_on_a_keyboard_of_digits() -> None:
    ((field, _),) = elements(forms.verification_code_form("home", EN)).all("input", name="number")
    assert (field["inputmode"], field["pattern"]) == ("numeric", "[0-9]*")
