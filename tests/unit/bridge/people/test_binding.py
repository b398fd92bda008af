"""What becomes of each contact of a login: somebody known again, a newcomer, or one of several who may be it."""

from __future__ import annotations

import pytest

from tests.unit.bridge.address_book import AddressBook, events
from wx2mqtt.bridge.people import matching
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.matching import MatchQuery, MatchResult
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.model import ChatKind, Contact, Handle

PROFILE = {"sex": "1", "province": "广东", "city": "广州", "attributes": "102437"}


def two_bobs() -> AddressBook:
    """Returns an address book with two friends whom nothing distinguishes, after a login."""
    address_book = AddressBook()
    address_book.add_friend("bob", "Bob", avatar="")
    address_book.add_friend("bob2", "Bob", avatar="")
    address_book.log_in()
    return address_book


def test_handles_of_an_earlier_login_mean_nobody() -> None:
    address_book = two_bobs()
    old = address_book.handle("bob")
    address_book.log_in()
    assert address_book.registry.by_handle(old) is None


def test_a_restart_in_the_same_login_knows_everybody_at_once() -> None:
    address_book = two_bobs()
    address_book.restart()
    assert address_book.registry.is_current_login("login-1")
    assert not address_book.registry.is_current_login("login-2")
    assert address_book.topic_name_of("bob") == "Bob"
    assert address_book.refresh() == PeopleUpdate()


def test_pages_of_a_directory_and_a_batch_never_empty_what_was_known() -> None:
    address_book = AddressBook()
    address_book.add_friend("lily", "Lily", remark="老婆", alias="id1", profile=PROFILE)
    address_book.log_in()
    address_book.contacts["lily"] = Contact(handle=Handle(""), kind=ChatKind.FRIEND, profile={"city": "深圳"})
    address_book.send_update("lily")
    person = address_book.person_of_topic("老婆")
    assert (person.nickname, person.remark, person.alias) == ("Lily", "老婆", "id1")
    assert person.profile == {**PROFILE, "city": "深圳"}


def test_only_a_directory_says_that_a_remark_is_no_more() -> None:
    address_book = AddressBook()
    address_book.add_friend("lily", "Lily", remark="老婆")
    address_book.log_in()
    address_book.change("lily", remark="")
    address_book.send_update("lily")
    assert address_book.person_of_topic("老婆").remark == "老婆"
    address_book.refresh()
    assert address_book.person_of_topic("老婆").remark == ""


def test_a_contact_that_comes_twice_in_a_directory_keeps_what_either_says() -> None:
    """The first answer has groups without members, and may come after the full ones (webwx 2.6.3)."""
    address_book = AddressBook()
    address_book.add_group("g", "家", "a", "b", "c", remark="家人")
    address_book.login = 1
    full, hollow = address_book.contact("g"), Contact(handle=address_book.handle("g"), kind=ChatKind.GROUP)
    for contacts in ([full, hollow], [hollow, full]):
        address_book.store(
            address_book.registry.apply_directory(contacts, "login-1", address_book.owner, 0, complete=True)
        )
        (person,) = address_book.persons.values()
        assert (person.remark, person.nickname, len(person.members)) == ("家人", "家", 12)


def test_ids_that_never_change_are_known_in_every_login_before_any_list() -> None:
    address_book = AddressBook({"me": ContactPin(ilink="o9@im.wechat")})
    address_book.add_special("o9@im.wechat", ChatKind.FRIEND)
    address_book.send_update("o9@im.wechat")
    address_book.log_in(without=("o9@im.wechat",), complete=True)
    assert address_book.topic_name_of("o9@im.wechat") == "me"
    assert address_book.is_trusted("o9@im.wechat")
    assert address_book.registry.is_current_login("login-1")
    assert not address_book.person_of_topic("me").removed


def test_a_permanent_id_is_known_under_another_handle() -> None:
    address_book = AddressBook()
    address_book.store(
        address_book.registry.add_unlisted(Handle("h1"), ChatKind.FRIEND, "Zoe", 0, permanent_id="z")
    )
    address_book.log_in(complete=False)
    assert address_book.person_of_topic("Zoe").handle is None
    address_book.store(
        address_book.registry.add_unlisted(Handle("h2"), ChatKind.FRIEND, "", 0, permanent_id="z")
    )
    assert address_book.person_of_handle(Handle("h2")).topic_name == "Zoe"


def test_the_accounts_own_entry_is_one_person_for_ever() -> None:
    address_book = AddressBook({"me": ContactPin(owner=True)})
    for _ in range(3):
        address_book.login += 1
        own = Contact(handle=address_book.owner.handle, kind=ChatKind.FRIEND, nickname="Me")
        address_book.store(
            address_book.registry.apply_directory(
                [own], f"login-{address_book.login}", address_book.owner, 0, complete=True
            )
        )
    (entry,) = address_book.registry.directory()
    assert (entry.user, entry.trusted, entry.matched_by) == ("me", True, "pin")


def test_whoever_is_new_after_the_first_directory_is_an_event() -> None:
    address_book = two_bobs()
    address_book.add_friend("ann", "Ann")
    (event,) = address_book.send_update("ann").events
    assert (event.name, event.user, event.fields) == (
        "contact_added",
        "Ann",
        {"kind": "friend", "name": "Ann"},
    )


def test_a_removed_friend_stays_in_the_directory_and_gets_nothing() -> None:
    address_book = two_bobs()
    address_book.add_friend("ann", "Ann")
    address_book.send_update("ann")
    assert events(address_book.remove_contact("ann")) == [("contact_removed", "Ann")]
    assert [entry.removed for entry in address_book.registry.directory() if entry.user == "Ann"] == [True]
    assert address_book.recipient_of("Ann") is None


def test_who_is_missing_from_a_whole_directory_is_gone_and_may_come_back() -> None:
    address_book = AddressBook()
    address_book.add_friend("ann", "Ann")
    address_book.add_friend("bob", "Bob")
    address_book.log_in()
    assert events(address_book.log_in(without=("ann",))) == [("contact_removed", "Ann")]
    assert events(address_book.log_in(without=("ann",))) == []
    assert events(address_book.log_in()) == [("contact_added", "Ann")]
    assert address_book.topic_name_of("ann") == "Ann"


def test_who_is_missing_from_a_refresh_is_gone_too() -> None:
    address_book = AddressBook()
    address_book.add_friend("ann", "Ann")
    address_book.add_friend("bob", "Bob")
    address_book.log_in()
    assert events(address_book.refresh(without=("ann",))) == [("contact_removed", "Ann")]
    assert events(address_book.refresh()) == [("contact_added", "Ann")]


def test_who_is_missing_from_part_of_a_directory_is_not_gone() -> None:
    address_book = AddressBook()
    address_book.add_friend("ann", "Ann")
    address_book.add_friend("bob", "Bob")
    address_book.log_in()
    address_book.log_in(without=("ann",), complete=False)
    person = address_book.person_of_topic("Ann")
    assert (person.handle, person.removed, person.closed) == (None, False, False)
    address_book.refresh()
    assert address_book.recipient_of("Ann") == "ann"


def test_an_empty_directory_is_one_that_is_not_filled_yet() -> None:
    """WeChat may answer with an empty directory before it has filled it (webwx 4.5.5)."""
    address_book = two_bobs()
    address_book.log_in(without=("bob", "bob2"))
    assert not any(entry.removed for entry in address_book.registry.directory())
    address_book.log_in()
    assert address_book.refresh(without=("bob", "bob2")).events == ()


def test_when_the_last_friend_is_gone_an_empty_directory_is_believed() -> None:
    address_book = AddressBook()
    address_book.add_friend("ann", "Ann")
    address_book.log_in()
    address_book.remove_contact("ann")
    address_book.add_friend("bob", "Bob")
    address_book.log_in(without=("bob",))
    assert address_book.person_of_topic("Ann").removed


def test_a_group_that_is_missing_in_a_directory_is_not_removed() -> None:
    """A directory has only the groups that are saved to the address book (webwx 4.5.2)."""
    address_book = AddressBook()
    address_book.add_friend("ann", "Ann")
    address_book.add_group("g", "群", "Ann", "Tom", "Eva")
    address_book.log_in()
    assert address_book.log_in(without=("g",)).events == ()
    assert not address_book.person_of_topic("群").removed
    assert events(address_book.send_update("g")) == []
    assert address_book.recipient_of("群") == "g"


def test_a_group_that_writes_before_it_is_known_is_joined_with_what_it_was() -> None:
    address_book = AddressBook()
    address_book.add_friend("ann", "Ann")
    address_book.add_group("g", "群", "Ann", "Tom", "Eva")
    address_book.log_in()
    old = address_book.person_of_topic("群").id
    address_book.log_in(without=("g",))
    address_book.receive_message("g", ChatKind.GROUP)
    assert address_book.topic_name_of("g") == "group"
    placed = address_book.person_of_topic("group").id
    address_book.store(address_book.registry.mark_wrote(address_book.person_of_topic("group")))
    assert events(address_book.send_update("g")) == [("topic_changed", "群")]
    assert address_book.recipient_of("group") == address_book.recipient_of("群") == "g"
    assert address_book.registry.get(placed) == address_book.person_of_topic("群")
    assert address_book.person_of_topic("群").id == old
    assert address_book.person_of_topic("群").wrote
    address_book.restart()
    assert address_book.recipient_of("group") == "g"


def test_a_stranger_who_writes_gets_a_topic_and_no_event() -> None:
    address_book = two_bobs()
    assert address_book.receive_message("stranger", name="Zoe").events == ()
    assert address_book.topic_name_of("stranger") == "Zoe"
    address_book.refresh()
    assert not address_book.person_of_topic("Zoe").removed
    address_book.add_friend("stranger", "Zoe", remark="Z")
    assert address_book.send_update("stranger").events == ()
    assert address_book.person_of_topic("Zoe").remark == "Z"
    assert address_book.topic_name_of("stranger") == "Zoe"


def test_who_writes_before_the_directory_is_whole_is_found_in_it() -> None:
    address_book = AddressBook()
    address_book.add_friend("ann", "Ann", avatar="", profile=PROFILE)
    address_book.log_in()
    address_book.log_in(complete=False)
    assert address_book.topic_name_of("ann") is None
    address_book.receive_message("ann")
    assert address_book.topic_name_of("ann") == "Ann-2"
    address_book.refresh()
    assert address_book.topic_name_of("ann") == "Ann"
    assert address_book.recipient_of("Ann-2") == "ann"
    assert address_book.registry.closed_count == 0


def test_who_may_be_somebody_waits_for_the_whole_directory() -> None:
    address_book = AddressBook()
    address_book.add_friend("ann", "Ann", avatar="", profile=PROFILE)
    address_book.log_in()
    address_book.log_in(complete=False, without=("ann",))
    address_book.send_update("ann")
    assert len(address_book.registry.directory()) == 1
    address_book.refresh()
    assert address_book.recipient_of("Ann") == "ann"


def test_who_waits_and_writes_is_asked_about_again() -> None:
    """The other one of that name was deleted meanwhile, so the picture is evidence now."""
    address_book = AddressBook()
    address_book.add_friend("ann", "Ann", avatar="7")
    address_book.log_in()
    address_book.add_friend("ann2", "Ann", avatar="7")
    address_book.log_in(complete=False)
    assert address_book.topic_name_of("ann") is None
    address_book.remove_contact("ann2")
    address_book.receive_message("ann")
    assert address_book.topic_name_of("ann") == "Ann"
    assert address_book.recipient_of("Ann") == "ann"


def test_who_waits_and_is_removed_is_forgotten() -> None:
    address_book = AddressBook()
    address_book.add_friend("ann", "Ann", avatar="", profile=PROFILE)
    address_book.log_in()
    address_book.log_in(complete=False)
    address_book.remove_contact("ann")
    assert address_book.receive_message("ann").people.persons[0].nickname == ""


def test_strong_evidence_is_enough_before_the_directory_is_whole() -> None:
    address_book = AddressBook()
    address_book.add_friend("ann", "Ann")
    address_book.log_in()
    address_book.log_in(complete=False)
    assert address_book.recipient_of("Ann") == "ann"


def test_a_placed_person_can_be_held_back_and_keeps_the_facts() -> None:
    address_book = AddressBook()
    address_book.add_friend("ann", "Ann", avatar="", profile=PROFILE)
    address_book.log_in()
    address_book.log_in(complete=False, without=("ann",))
    address_book.receive_message("ann")
    address_book.send_update("ann")
    assert address_book.topic_name_of("ann") == "friend"
    address_book.refresh()
    assert address_book.topic_name_of("ann") == "Ann"


def test_where_two_fit_both_are_new_and_the_old_ones_closed() -> None:
    address_book = two_bobs()
    changes = address_book.log_in()
    assert {address_book.topic_name_of("bob"), address_book.topic_name_of("bob2")} == {"Bob-3", "Bob-4"}
    assert address_book.recipient_of("Bob") is address_book.recipient_of("Bob-2") is None
    assert address_book.registry.closed_count == 2
    reported = {event.user: event.fields for event in changes.events}
    assert reported == {
        "Bob": {"reason": "not_certain", "candidates": ["Bob-3", "Bob-4"]},
        "Bob-2": {"reason": "not_certain", "candidates": ["Bob-3", "Bob-4"]},
    }
    entries = {entry.user: entry for entry in address_book.registry.directory()}
    assert entries["Bob"].closed
    assert entries["Bob-3"].matched_by == "unsure"


def test_a_closed_person_stays_closed_over_restart_and_refresh() -> None:
    address_book = two_bobs()
    address_book.log_in()
    address_book.restart()
    assert address_book.refresh() == PeopleUpdate()
    assert address_book.registry.closed_count == 2


def test_a_closed_person_who_is_recognized_at_the_next_login_is_open_again() -> None:
    address_book = AddressBook()
    address_book.add_friend("ann", "Ann", alias="ann1")
    address_book.log_in()
    address_book.change("ann", alias="")
    address_book.change_picture("ann")
    address_book.log_in()
    assert address_book.registry.closed_count == 1
    address_book.change("ann", alias="ann1")
    address_book.log_in()
    assert address_book.recipient_of("Ann") == "ann"
    assert address_book.registry.closed_count == 0


def test_who_writes_and_is_on_no_list_is_not_compared_with_all_people(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address_book = AddressBook()
    address_book.add_friend("a", "A")
    address_book.add_friend("b", "B")
    address_book.log_in()
    address_book.log_in(without=("b",))
    comparisons = []

    def record_query(query: MatchQuery) -> MatchResult:
        comparisons.append(query)
        return MatchResult()

    monkeypatch.setattr(matching, "match", record_query)
    address_book.receive_message("stranger")
    assert comparisons == []
    address_book.receive_message("guest", name="G")
    assert len(comparisons) == 1
