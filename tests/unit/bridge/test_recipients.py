"""Members of a group are found by topic name, and by the names that the group shows in any normal form."""

from __future__ import annotations

import unicodedata
from types import SimpleNamespace
from typing import Any

from tests.support.cost import is_in_proportion
from wx2mqtt.bridge.recipients import GroupMemberIndex
from wx2mqtt.model import Handle, Member

MEMBERS = (
    Member(handle=Handle("@wife"), nickname="梅", display_name="老婆"),
    Member(handle=Handle("@jose"), nickname="Jos\u00e9"),
    Member(handle=Handle("@a"), nickname="Bob"),
    Member(handle=Handle("@b"), display_name="Bob"),
)


class FakeRegistry:
    """A registry with two people: wife is in the group, mom is not."""

    def by_topic_name(self, level: str) -> Any:
        handle = {"wife": "@wife", "mom": "@mom"}.get(level)
        return handle and SimpleNamespace(handle=Handle(handle))


def handles_of(name: str) -> tuple[str, ...]:
    return GroupMemberIndex(FakeRegistry(), MEMBERS).find(name)  # type: ignore[arg-type]


def test_a_member_is_found_by_topic_name_nickname_and_name_in_the_group() -> None:
    assert handles_of("wife") == handles_of("梅") == handles_of("老婆") == ("@wife",)
    assert handles_of("mom") == handles_of("nobody") == handles_of("") == ()


def test_all_of_one_name_are_found() -> None:
    assert handles_of("Bob") == ("@a", "@b")


def test_an_accent_may_be_a_character_of_its_own() -> None:
    decomposed = unicodedata.normalize("NFD", "Jos\u00e9")
    assert handles_of(decomposed) == handles_of("Jos\u00e9") == ("@jose",)


def test_names_of_many_members_are_looked_up_in_proportion_to_their_number() -> None:
    """Once 500 names took a second, since each was compared with all of 500 members."""

    def look_up(size: int) -> None:
        name = "e\u0301" * 40
        members = [Member(handle=Handle(f"@{number}"), nickname=f"{name}{number}") for number in range(size)]
        index = GroupMemberIndex(FakeRegistry(), members)  # type: ignore[arg-type]
        for number in range(size):
            assert len(index.find(f"{name}{number}")) == 1

    assert is_in_proportion(look_up, 1000)
