"""Every problem that the bridge can name stands in the table, with its cure, in both languages."""

from __future__ import annotations

import re

import pytest

from tests.support.page import login, seen
from wx2mqtt.bridge.health import problems, well
from wx2mqtt.model import LoginState
from wx2mqtt.web.page.cures import CURES, cure

CAN_BE = {
    *problems(seen()),
    *(name for state in LoginState for name in well(seen(login=login(state)))),
    "unresolved_people",
}


def test_the_table_has_every_problem_and_no_other():
    assert set(CURES) - {"login_online"} == CAN_BE


@pytest.mark.parametrize("name", CURES)
def test_both_languages_say_what_is_wrong_and_what_to_do(name):
    english, chinese = CURES[name].said("en"), CURES[name].said("zh")
    for text in english:
        assert re.search("[a-z]", text)
        assert not re.search("[\u4e00-\u9fff]", text)
    for text in chinese:
        assert re.search("[\u4e00-\u9fff]", text)
        assert text.endswith(("。", "?"))


def test_a_problem_of_later_stands_for_itself():
    assert cure("moon_too_near", "zh") == ("moon_too_near", "")
