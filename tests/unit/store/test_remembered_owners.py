"""The store remembers the owner of each backend, and what the operator has confirmed about a bot."""

from __future__ import annotations

import pytest

from wx2mqtt.store.journal import Journal
from wx2mqtt.store.remembered_owners import NOTHING_SAID, NamedOwner, RememberedOwners, read_owners

CONFIRMED = NamedOwner(is_confirmed=True, person="user:zhangsan")


def test_owners_that_an_older_version_has_stored_are_read():
    assert read_owners('{"webwx": "211", "ilink": "o9@im.wechat"}') == RememberedOwners(
        ids={"webwx": "211", "ilink": "o9@im.wechat"}
    )


def test_the_named_owner_of_a_bot_is_stored_with_its_id():
    owners = RememberedOwners(ids={"ilink": "o9"}).with_owner("wecom", "aib1", CONFIRMED)
    assert owners.ids == {"ilink": "o9", "wecom": "aib1"}
    assert owners.named == {"wecom": CONFIRMED}
    assert read_owners(owners.to_json()) == owners


def test_a_new_bot_without_a_named_owner_replaces_the_one_with_a_named_owner():
    owners = (
        RememberedOwners().with_owner("wecom", "aib1", CONFIRMED).with_owner("wecom", "aib2", NOTHING_SAID)
    )
    assert owners == RememberedOwners(ids={"wecom": "aib2"})
    assert owners.to_json() == '{"wecom":"aib2"}'


def test_a_bot_can_be_unconfirmed_and_its_named_owner_stays():
    owners = RememberedOwners().with_owner("wecom", "aib1", CONFIRMED).unconfirmed()
    assert owners.named == {"wecom": NamedOwner(person="user:zhangsan")}


@pytest.mark.parametrize(
    "column",
    [
        "[]",
        "3",
        '{"wecom": 3}',
        '{"named": []}',
        '{"named": {"wecom": "yes"}}',
        '{"named": {"wecom": {"is_confirmed": "true", "person": 3}}}',
    ],
)
def test_a_column_with_unexpected_content_names_no_owner(column: str):
    owners = read_owners(column)
    assert owners.ids == {}
    assert set(owners.named.values()) <= {NOTHING_SAID}


async def test_the_owner_is_stored_with_the_account(journal: Journal):
    await journal.open()
    await journal.owner.remember("wecom", "aib1", CONFIRMED)
    state = await journal.open()
    assert (state.owner_ids, state.named_owners) == ({"wecom": "aib1"}, {"wecom": CONFIRMED})
