"""A topic level stands for the same person over logins, renames, restarts and decisions of the owner."""

from __future__ import annotations

import unicodedata
from typing import cast

import pytest

from tests.support.cost import cpu_seconds, is_in_proportion, repeated
from tests.unit.bridge.phone import DAY, Phone, events
from wx2mqtt.bridge.people import matching
from wx2mqtt.bridge.people.evidence import MAX_CANDIDATES, ContactPin
from wx2mqtt.bridge.people.matching import MatchQuery, MatchResult
from wx2mqtt.bridge.people.registry import NEWCOMER_RETENTION_MS
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import ChatKind, Contact, Handle, PersonId

HOME = {"sex": "1", "province": "广东", "city": "广州", "attributes": "102437"}


def two_bobs() -> Phone:
    """Two whom nothing tells apart."""
    phone = Phone()
    phone.friend("bob", "Bob", avatar="")
    phone.friend("bob2", "Bob", avatar="")
    phone.log_in()
    return phone


# the first login


def test_the_first_directory_names_everybody_and_tells_nothing() -> None:
    phone = Phone()
    phone.special("filehelper")
    phone.friend("wife", "Lily", remark="老婆")
    phone.friend("bob", "Bob")
    phone.group("family", "相亲 相爱", "Lily", "Bob")
    changes = phone.log_in()
    assert {who: phone.level(who) for who in phone.book} == {
        "filehelper": "filehelper",
        "wife": "老婆",
        "bob": "Bob",
        "family": "相亲_相爱",
    }
    assert changes.events == ()
    assert len(changes.people.persons) == 4
    assert {level for level, _ in changes.people.levels} == {"filehelper", "老婆", "Bob", "相亲_相爱"}


def test_a_first_directory_that_came_in_parts_tells_nothing_either() -> None:
    phone = Phone()
    phone.friend("a", "A")
    phone.friend("b", "B")
    phone.log_in(without=("b",), complete=False)
    assert phone.refresh().events == ()


def test_a_newcomer_who_wrote_first_has_only_the_profile_that_the_directory_gives() -> None:
    phone = Phone()
    phone.friend("bob", "Bob", avatar="", profile={"city": "广州"})
    phone.log_in()
    phone.friend("eve", "Bob", avatar="", profile={"sex": "1", "city": "北京"})
    phone.log_in(without=("bob",), complete=False)
    phone.writes("eve")
    phone.change("eve", profile={"sex": "2"})
    phone.refresh()
    assert phone.whose(phone.handle("eve")).profile == {"sex": "2"}
    assert phone.refresh() == PeopleUpdate()


def test_who_wrote_before_the_first_directory_does_not_make_it_news() -> None:
    phone = Phone()
    phone.friend("a", "A")
    phone.special("filehelper")
    phone.log_in(without=("a",), complete=False)
    phone.writes("stranger", name="S")
    phone.restart()
    assert phone.refresh().events == ()


def test_without_any_change_nothing_is_to_be_stored() -> None:
    phone = two_bobs()
    phone.now = DAY
    assert phone.refresh() == PeopleUpdate()
    assert phone.tell("bob") == PeopleUpdate()
    assert phone.writes("bob") == PeopleUpdate()


NAMES = [
    "",
    "😀",
    "/",
    "+",
    "#",
    "$SYS",
    "长" * 200,
    "\u202eabc",
    "Bob",
    "Bob",
    "Воb",
    "Jose\u0301",
    "José",
    "bob",
]


@pytest.mark.parametrize("naming", ["unicode", "pinyin"])
def test_every_name_gets_a_topic_of_one_level_that_stays(naming: str) -> None:
    phone = Phone(name_style=naming)
    for number, name in enumerate(NAMES):
        phone.friend(str(number), name)
    phone.log_in()
    first = {who: phone.level(who) for who in phone.book}
    assert len(set(first.values())) == len(NAMES)
    assert all(level and not set(level) & set("/+#$ ") for level in first.values())
    phone.log_in()
    phone.restart()
    phone.log_in()
    assert {who: phone.level(who) for who in phone.book} == first


# known again


def test_handles_of_an_earlier_login_mean_nobody() -> None:
    phone = two_bobs()
    old = phone.handle("bob")
    phone.log_in()
    assert phone.identity.by_handle(old) is None


def test_a_restart_in_the_same_login_knows_everybody_at_once() -> None:
    phone = two_bobs()
    phone.restart()
    assert phone.identity.is_current_login("login-1")
    assert not phone.identity.is_current_login("login-2")
    assert phone.level("bob") == "Bob"
    assert phone.refresh() == PeopleUpdate()


def test_a_renamed_friend_keeps_the_topic() -> None:
    phone = Phone()
    phone.friend("lily", "Lily", profile=HOME)
    phone.log_in()
    phone.change("lily", nickname="百合")
    changes = phone.log_in()
    assert phone.level("lily") == "Lily"
    (event,) = changes.events
    assert (event.name, event.user) == ("contact_renamed", "Lily")
    assert event.fields == {"from": "Lily", "to": "百合"}
    assert [entry.name for entry in phone.identity.directory()] == ["百合"]


def test_a_level_of_an_old_name_is_not_given_to_who_bears_the_name_now() -> None:
    phone = Phone()
    phone.friend("lily", "Lily", profile=HOME)
    phone.log_in()
    phone.change("lily", nickname="百合")
    phone.tell("lily")
    phone.friend("eve", "Lily")
    phone.tell("eve")
    assert phone.level("eve") == "Lily-2"
    assert phone.reaches("Lily") == "lily"


def test_levels_are_looked_up_composed_and_with_case() -> None:
    phone = Phone()
    phone.friend("j", "José")
    phone.log_in()
    assert phone.reaches(unicodedata.normalize("NFD", "José")) == "j"
    assert phone.reaches("josé") is None


def test_pages_of_a_directory_and_a_batch_never_empty_what_was_known() -> None:
    phone = Phone()
    phone.friend("lily", "Lily", remark="老婆", alias="id1", profile=HOME)
    phone.log_in()
    phone.book["lily"] = Contact(handle=Handle(""), kind=ChatKind.FRIEND, profile={"city": "深圳"})
    phone.tell("lily")
    person = phone.person("老婆")
    assert (person.nickname, person.remark, person.alias) == ("Lily", "老婆", "id1")
    assert person.profile == {**HOME, "city": "深圳"}


def test_only_a_directory_says_that_a_remark_is_no_more() -> None:
    phone = Phone()
    phone.friend("lily", "Lily", remark="老婆")
    phone.log_in()
    phone.change("lily", remark="")
    phone.tell("lily")
    assert phone.person("老婆").remark == "老婆"
    phone.refresh()
    assert phone.person("老婆").remark == ""


def test_a_contact_that_comes_twice_in_a_directory_keeps_what_either_says() -> None:
    """(webwx 2.6.3): the first answer has hollow groups, and may come after the full ones."""
    phone = Phone()
    phone.group("g", "家", "a", "b", "c", remark="家人")
    phone.login = 1
    full, hollow = phone.contact("g"), Contact(handle=phone.handle("g"), kind=ChatKind.GROUP)
    for contacts in ([full, hollow], [hollow, full]):
        phone.keep(phone.identity.apply_directory(contacts, "login-1", phone.owner, 0, complete=True))
        (person,) = phone.persons.values()
        assert (person.remark, person.nickname, len(person.members)) == ("家人", "家", 12)


# special accounts


def test_the_file_helper_is_its_own_whatever_others_call_themselves() -> None:
    phone = Phone(
        {"filehelper": ContactPin(nickname="filehelper"), "note": ContactPin(nickname="filehelper")}
    )
    phone.friend("eve", "filehelper")
    phone.log_in()
    phone.special("filehelper")
    phone.tell("filehelper")
    assert phone.level("filehelper") == "filehelper"
    assert phone.level("eve") == "note"
    phone.log_in()
    assert phone.trusted("filehelper")
    assert not phone.trusted("eve")


def test_a_friend_called_filehelper_gets_another_level() -> None:
    phone = Phone()
    phone.friend("eve", "filehelper", remark="filehelper")
    phone.log_in()
    assert phone.level("eve") == "filehelper-2"
    phone.writes("filehelper", ChatKind.SELF)
    assert phone.whose(Handle("@filehelper-1")).level == "self"


def test_the_file_helper_can_be_met_before_any_list_names_it() -> None:
    phone = Phone()
    phone.keep(phone.identity.add_unlisted(Handle("filehelper"), ChatKind.SELF, "", 0))
    assert phone.person("filehelper").permanent_id == "filehelper"
    phone.special("filehelper")
    phone.log_in()
    assert len(phone.identity.directory()) == 1


def test_ids_that_never_change_are_known_in_every_login_before_any_list() -> None:
    phone = Phone({"me": ContactPin(ilink="o9@im.wechat")})
    phone.special("o9@im.wechat", ChatKind.FRIEND)
    phone.tell("o9@im.wechat")
    phone.log_in(without=("o9@im.wechat",), complete=True)
    assert phone.level("o9@im.wechat") == "me"
    assert phone.trusted("o9@im.wechat")
    assert phone.identity.is_current_login("login-1")
    assert not phone.person("me").removed


def test_a_permanent_id_is_known_under_another_handle() -> None:
    phone = Phone()
    phone.keep(phone.identity.add_unlisted(Handle("h1"), ChatKind.FRIEND, "Zoe", 0, permanent_id="z"))
    phone.log_in(complete=False)
    assert phone.person("Zoe").handle is None
    phone.keep(phone.identity.add_unlisted(Handle("h2"), ChatKind.FRIEND, "", 0, permanent_id="z"))
    assert phone.whose(Handle("h2")).level == "Zoe"


def test_the_accounts_own_entry_is_one_person_for_ever() -> None:
    phone = Phone({"me": ContactPin(owner=True)})
    for _ in range(3):
        phone.login += 1
        own = Contact(handle=phone.owner.handle, kind=ChatKind.FRIEND, nickname="Me")
        phone.keep(
            phone.identity.apply_directory([own], f"login-{phone.login}", phone.owner, 0, complete=True)
        )
    (entry,) = phone.identity.directory()
    assert (entry.user, entry.trusted, entry.matched_by) == ("me", True, "pin")


# who comes and goes


def test_who_is_new_after_the_first_directory_is_told() -> None:
    phone = two_bobs()
    phone.friend("ann", "Ann")
    (event,) = phone.tell("ann").events
    assert (event.name, event.user, event.fields) == (
        "contact_added",
        "Ann",
        {"kind": "friend", "name": "Ann"},
    )


def test_a_removed_friend_stays_in_the_directory_and_gets_nothing() -> None:
    phone = two_bobs()
    phone.friend("ann", "Ann")
    phone.tell("ann")
    assert events(phone.drop("ann")) == [("contact_removed", "Ann")]
    assert [entry.removed for entry in phone.identity.directory() if entry.user == "Ann"] == [True]
    assert phone.reaches("Ann") is None


def test_who_is_missing_from_a_whole_directory_is_gone_and_may_come_back() -> None:
    phone = Phone()
    phone.friend("ann", "Ann")
    phone.friend("bob", "Bob")
    phone.log_in()
    assert events(phone.log_in(without=("ann",))) == [("contact_removed", "Ann")]
    assert events(phone.log_in(without=("ann",))) == []
    assert events(phone.log_in()) == [("contact_added", "Ann")]
    assert phone.level("ann") == "Ann"


def test_who_is_missing_from_a_refresh_is_gone_too() -> None:
    phone = Phone()
    phone.friend("ann", "Ann")
    phone.friend("bob", "Bob")
    phone.log_in()
    assert events(phone.refresh(without=("ann",))) == [("contact_removed", "Ann")]
    assert events(phone.refresh()) == [("contact_added", "Ann")]


def test_who_is_missing_from_part_of_a_directory_is_not_gone() -> None:
    phone = Phone()
    phone.friend("ann", "Ann")
    phone.friend("bob", "Bob")
    phone.log_in()
    phone.log_in(without=("ann",), complete=False)
    person = phone.person("Ann")
    assert (person.handle, person.removed, person.closed) == (None, False, False)
    phone.refresh()
    assert phone.reaches("Ann") == "ann"


def test_an_empty_directory_is_one_that_is_not_filled_yet() -> None:
    """(webwx 4.5.5)"""
    phone = two_bobs()
    phone.log_in(without=("bob", "bob2"))
    assert not any(entry.removed for entry in phone.identity.directory())
    phone.log_in()
    assert phone.refresh(without=("bob", "bob2")).events == ()


def test_when_the_last_friend_is_gone_an_empty_directory_is_believed() -> None:
    phone = Phone()
    phone.friend("ann", "Ann")
    phone.log_in()
    phone.drop("ann")
    phone.friend("bob", "Bob")
    phone.log_in(without=("bob",))
    assert phone.person("Ann").removed


def test_a_group_that_nobody_saved_is_silent_and_not_gone() -> None:
    """(webwx 4.5.2)"""
    phone = Phone()
    phone.friend("ann", "Ann")
    phone.group("g", "群", "Ann", "Tom", "Eva")
    phone.log_in()
    assert phone.log_in(without=("g",)).events == ()
    assert not phone.person("群").removed
    assert events(phone.tell("g")) == []
    assert phone.reaches("群") == "g"


def test_a_group_that_writes_before_it_is_known_is_joined_with_what_it_was() -> None:
    phone = Phone()
    phone.friend("ann", "Ann")
    phone.group("g", "群", "Ann", "Tom", "Eva")
    phone.log_in()
    old = phone.person("群").id
    phone.log_in(without=("g",))
    phone.writes("g", ChatKind.GROUP)
    assert phone.level("g") == "group"
    placed = phone.person("group").id
    phone.keep(phone.identity.mark_wrote(phone.person("group")))
    assert events(phone.tell("g")) == [("topic_changed", "群")]
    assert phone.reaches("group") == phone.reaches("群") == "g"
    assert phone.identity.get(placed) == phone.person("群")
    assert phone.person("群").id == old
    assert phone.person("群").wrote
    phone.restart()
    assert phone.reaches("group") == "g"


def test_a_stranger_who_writes_gets_a_topic_and_no_event() -> None:
    phone = two_bobs()
    assert phone.writes("stranger", name="Zoe").events == ()
    assert phone.level("stranger") == "Zoe"
    phone.refresh()
    assert not phone.person("Zoe").removed
    phone.friend("stranger", "Zoe", remark="Z")
    assert phone.tell("stranger").events == ()
    assert phone.person("Zoe").remark == "Z"
    assert phone.level("stranger") == "Zoe"


def test_who_writes_before_the_directory_is_whole_is_found_in_it() -> None:
    phone = Phone()
    phone.friend("ann", "Ann", avatar="", profile=HOME)
    phone.log_in()
    phone.log_in(complete=False)
    assert phone.level("ann") is None
    phone.writes("ann")
    assert phone.level("ann") == "Ann-2"
    phone.refresh()
    assert phone.level("ann") == "Ann"
    assert phone.reaches("Ann-2") == "ann"
    assert phone.identity.closed_count == 0


def test_who_may_be_somebody_waits_for_the_whole_directory() -> None:
    phone = Phone()
    phone.friend("ann", "Ann", avatar="", profile=HOME)
    phone.log_in()
    phone.log_in(complete=False, without=("ann",))
    phone.tell("ann")
    assert len(phone.identity.directory()) == 1
    phone.refresh()
    assert phone.reaches("Ann") == "ann"


def test_who_waits_and_writes_is_asked_about_again() -> None:
    """Her namesake was deleted meanwhile, and now the picture tells."""
    phone = Phone()
    phone.friend("ann", "Ann", avatar="7")
    phone.log_in()
    phone.friend("ann2", "Ann", avatar="7")
    phone.log_in(complete=False)
    assert phone.level("ann") is None
    phone.drop("ann2")
    phone.writes("ann")
    assert phone.level("ann") == "Ann"
    assert phone.reaches("Ann") == "ann"


def test_who_waits_and_is_removed_is_forgotten() -> None:
    phone = Phone()
    phone.friend("ann", "Ann", avatar="", profile=HOME)
    phone.log_in()
    phone.log_in(complete=False)
    phone.drop("ann")
    assert phone.writes("ann").people.persons[0].nickname == ""


def test_strong_evidence_is_enough_before_the_directory_is_whole() -> None:
    phone = Phone()
    phone.friend("ann", "Ann")
    phone.log_in()
    phone.log_in(complete=False)
    assert phone.reaches("Ann") == "ann"


def test_a_placed_person_can_be_held_back_and_keeps_the_facts() -> None:
    phone = Phone()
    phone.friend("ann", "Ann", avatar="", profile=HOME)
    phone.log_in()
    phone.log_in(complete=False, without=("ann",))
    phone.writes("ann")
    phone.tell("ann")
    assert phone.level("ann") == "friend"
    phone.refresh()
    assert phone.level("ann") == "Ann"


# where two fit


def test_where_two_fit_both_are_new_and_the_old_ones_closed() -> None:
    phone = two_bobs()
    changes = phone.log_in()
    assert {phone.level("bob"), phone.level("bob2")} == {"Bob-3", "Bob-4"}
    assert phone.reaches("Bob") is phone.reaches("Bob-2") is None
    assert phone.identity.closed_count == 2
    told = {event.user: event.fields for event in changes.events}
    assert told == {
        "Bob": {"reason": "not_certain", "candidates": ["Bob-3", "Bob-4"]},
        "Bob-2": {"reason": "not_certain", "candidates": ["Bob-3", "Bob-4"]},
    }
    entries = {entry.user: entry for entry in phone.identity.directory()}
    assert entries["Bob"].closed
    assert entries["Bob-3"].matched_by == "unsure"


def test_a_closed_person_stays_closed_over_restart_and_refresh() -> None:
    phone = two_bobs()
    phone.log_in()
    phone.restart()
    assert phone.refresh() == PeopleUpdate()
    assert phone.identity.closed_count == 2


@pytest.mark.parametrize("decide", ["assign", "merge"])
def test_who_was_removed_and_came_back_as_somebody_else_gets_the_old_topic_at_once(decide: str) -> None:
    phone = Phone()
    phone.friend("bob", "Bob")
    phone.friend("ann", "Ann")
    phone.log_in()
    phone.drop("bob")
    phone.friend("bob2", "Robert")
    phone.tell("bob2")
    with pytest.raises(BadCommand):
        getattr(phone.identity, decide)("Ann", "Robert", 1)
    changes = phone.keep(getattr(phone.identity, decide)("Bob", "Robert", 1))
    assert events(changes) == [("contact_added", "Bob"), ("topic_changed", "Bob")]
    phone.restart()
    assert phone.level("bob2") == "Bob"
    assert phone.reaches("Bob") == phone.reaches("Robert") == "bob2"
    assert not phone.person("Bob").removed


def test_the_owner_decides_and_both_names_lead_to_the_person() -> None:
    phone = two_bobs()
    phone.log_in()
    newcomer = str(phone.level("bob"))
    changes = phone.keep(phone.identity.assign("Bob", newcomer, 1))
    assert events(changes) == [("topic_changed", "Bob")]
    assert changes.events[0].fields == {"from": newcomer, "to": "Bob"}
    assert len(changes.people.removed) == 1
    phone.restart()
    assert phone.level("bob") == "Bob"
    assert phone.reaches("Bob") == phone.reaches(newcomer) == "bob"
    assert [e.matched_by for e in phone.identity.directory() if e.user == "Bob"] == ["owner_decided"]


@pytest.mark.parametrize(
    ("closed", "newcomer", "code"),
    [
        ("nobody", "Bob-3", "unknown_user"),
        ("Bob", "nobody", "unknown_user"),
        ("Bob-3", "Bob-4", "bad_request"),
        ("Bob", "Bob-2", "bad_request"),
        ("Bob", "Bob", "bad_request"),
        ("Bob", "群", "bad_request"),
        ("Bob", "filehelper", "bad_request"),
    ],
)
def test_a_decision_that_cannot_be_is_refused(closed: str, newcomer: str, code: str) -> None:
    phone = two_bobs()
    phone.group("g", "群")
    phone.special("filehelper")
    phone.log_in()
    before = phone.identity.directory()
    with pytest.raises(BadCommand) as refused:
        phone.identity.assign(closed, newcomer, 1)
    assert refused.value.code == code
    assert phone.identity.directory() == before


def test_two_who_left_can_be_merged() -> None:
    phone = Phone()
    for who in ("ann", "ann2", "bob"):
        phone.friend(who, who)
    phone.log_in()
    phone.drop("ann2")
    phone.log_in(without=("ann",))
    changes = phone.keep(phone.identity.merge("ann", "ann2", 1))
    assert dict(changes.people.levels) == {"ann2": phone.person("ann").id}
    assert phone.person("ann2").level == "ann"


def test_a_closed_person_who_is_recognized_at_the_next_login_is_open_again() -> None:
    phone = Phone()
    phone.friend("ann", "Ann", alias="ann1")
    phone.log_in()
    phone.change("ann", alias="")
    phone.new_picture("ann")
    phone.log_in()
    assert phone.identity.closed_count == 1
    phone.change("ann", alias="ann1")
    phone.log_in()
    assert phone.reaches("Ann") == "ann"
    assert phone.identity.closed_count == 0


def test_a_friend_who_changed_name_and_picture_can_be_given_the_topic_back() -> None:
    phone = Phone()
    phone.friend("ann", "Ann")
    phone.log_in()
    phone.change("ann", nickname="安")
    phone.new_picture("ann")
    assert events(phone.log_in()) == [("contact_added", "安"), ("contact_removed", "Ann")]
    phone.keep(phone.identity.assign("Ann", "安", 1))
    assert phone.level("ann") == "Ann"
    assert phone.reaches("安") == "ann"


# forgetting


def test_newcomers_of_earlier_logins_that_never_wrote_are_forgotten() -> None:
    phone = two_bobs()
    phone.log_in()
    phone.keep(phone.identity.mark_wrote(phone.person("Bob-3")))
    phone.now = DAY
    phone.log_in()
    assert phone.keep(phone.identity.remove_stale(NEWCOMER_RETENTION_MS - 1)) == PeopleUpdate()
    changes = phone.keep(phone.identity.remove_stale(NEWCOMER_RETENTION_MS))
    assert len(changes.people.removed) == 1
    assert {entry.user for entry in phone.identity.directory()} == {"Bob", "Bob-2", "Bob-3", "Bob-5", "Bob-6"}
    assert phone.identity.by_level("Bob-4") is None
    phone.restart()
    assert phone.identity.by_level("Bob-4") is None


def test_whoever_is_known_from_a_directory_without_doubt_is_never_forgotten() -> None:
    phone = Phone()
    phone.friend("ann", "Ann")
    phone.friend("bob", "Bob")
    phone.log_in()
    phone.log_in(without=("ann",))
    assert phone.identity.remove_stale(10 * NEWCOMER_RETENTION_MS) == PeopleUpdate()


def test_numbers_of_the_forgotten_are_not_given_again() -> None:
    phone = Phone(next_id=7)
    phone.friend("ann", "Ann")
    phone.log_in()
    assert phone.person("Ann").id == 7


# small things


def test_that_somebody_wrote_is_told_once() -> None:
    phone = two_bobs()
    person = phone.person("Bob")
    assert phone.identity.mark_wrote(person).people.persons[0].wrote
    assert phone.identity.mark_wrote(person) == PeopleUpdate()


def test_that_somebody_wrote_who_is_another_now_is_no_fault() -> None:
    phone = two_bobs()
    phone.log_in()
    newcomer = phone.person("Bob-3")
    phone.identity.assign("Bob", "Bob-3", 1)
    assert phone.identity.mark_wrote(newcomer).people.persons[0].level == "Bob"
    phone.identity.assign("Bob-2", "Bob-4", 1)
    assert phone.identity.get(PersonId(99)) is None


def test_the_directory_says_how_each_was_found() -> None:
    phone = Phone()
    phone.special("filehelper")
    phone.friend("a", "A", alias="a1")
    phone.friend("b", "B", remark="bb")
    phone.friend("c", "C")
    phone.friend("d", "D", profile=HOME)
    phone.friend("e", "E", avatar="", profile={**HOME, "city": "x"})
    phone.group("g", "G", "p", "q")
    phone.group("h", "H", "r", "s", "t", "u")
    phone.group("i", "I", avatar="5")
    phone.log_in()
    phone.change("d", nickname="D2")
    phone.change("h", nickname="H2")
    phone.log_in()
    assert {entry.user: entry.matched_by for entry in phone.identity.directory()} == {
        "filehelper": "id",
        "A": "alias",
        "bb": "remark",
        "C": "avatar_and_nickname",
        "D": "avatar_and_profile",
        "E": "nickname_and_profile",
        "G": "name_and_members",
        "H": "members",
        "I": "name_and_avatar",
    }
    assert [entry.user for entry in phone.identity.directory()][:2] == ["A", "C"]


def test_a_part_of_the_directory_has_those_who_have_the_levels_now() -> None:
    phone = two_bobs()
    assert [entry.user for entry in phone.identity.directory(["Bob-2", "nobody"])] == ["Bob-2"]
    assert len(phone.identity.directory()) == phone.identity.count == 2


def test_a_name_of_nothing_but_marks_costs_no_more_than_in_proportion() -> None:
    def meet(size: int) -> None:
        phone = Phone()
        marks = repeated("\u0301\u0327", size)
        phone.friend("eve", marks)
        phone.log_in()
        assert phone.identity.by_level(f"x{marks}") is None
        assert phone.identity.level_or_name(None, f"y{marks}") == f"y{marks}"

    assert is_in_proportion(meet, 20_000)


def test_thousands_of_groups_with_the_same_members_cost_little_at_a_login() -> None:
    phone = Phone()
    phone.friend("bob", "Bob")
    for number in range(1500):
        phone.group(f"g{number}", "", "a", "b", "c", "d")
    phone.log_in()
    assert cpu_seconds(phone.log_in) < 0.8


def test_friends_of_one_name_are_candidates_only_so_far_as_they_help_to_decide() -> None:
    phone = Phone()
    for number in range(3 * MAX_CANDIDATES):
        phone.friend(f"bob{number}", "Bob", avatar="")
    phone.log_in()
    told = phone.log_in().events
    unresolved = [event for event in told if event.name == "unresolved"]
    assert len(unresolved) == MAX_CANDIDATES
    assert {len(cast("list[str]", event.fields["candidates"])) for event in unresolved} == {MAX_CANDIDATES}
    levels = [phone.level(who) for who in phone.book]
    assert len(set(levels)) == len(levels)  # nobody got the level of another one


def test_a_pin_that_fits_more_and_more_people_is_reported_no_more_after_a_while() -> None:
    phone = Phone({"bob": ContactPin(nickname="Bob")})
    phone.friend("bob0", "Bob")
    phone.friend("bob1", "Bob")
    phone.log_in()
    reports = 0
    for number in range(2, MAX_CANDIDATES + 20):
        phone.friend(f"bob{number}", "Bob")
        told = phone.tell(f"bob{number}").events
        reports += sum(event.name == "unresolved" for event in told)
    assert reports == MAX_CANDIDATES - 2


def test_who_writes_and_is_on_no_list_is_not_compared_with_all_people(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    phone = Phone()
    phone.friend("a", "A")
    phone.friend("b", "B")
    phone.log_in()
    phone.log_in(without=("b",))
    comparisons = []

    def compared(query: MatchQuery) -> MatchResult:
        comparisons.append(query)
        return MatchResult()

    monkeypatch.setattr(matching, "match", compared)
    phone.writes("stranger")
    assert comparisons == []
    phone.writes("guest", name="G")
    assert len(comparisons) == 1


def test_names_that_are_equal_where_they_are_cut_cost_no_more_than_in_proportion() -> None:
    def meet(count: int) -> None:
        phone = Phone()
        for number in range(count):
            phone.friend(f"friend{number}", f"{'x' * 60}{number // 2:05}")
        phone.log_in()
        levels = [phone.level(who) or "" for who in phone.book]
        assert len(set(levels)) == count
        assert all(len(level) <= 64 for level in levels)

    assert is_in_proportion(meet, 1600)
