"""Whom the store remembers as the owner of an account, and what the operator has said of a bot."""

from __future__ import annotations

import pytest

from wx2mqtt.store.journal import Journal
from wx2mqtt.store.remembered_owners import NOTHING_SAID, NamedOwner, RememberedOwners, read_owners

SAID = NamedOwner(is_confirmed=True, person="user:zhangsan")


def test_what_an_older_version_has_stored_is_read():
    assert read_owners('{"webwx": "211", "ilink": "o9@im.wechat"}') == RememberedOwners(
        ids={"webwx": "211", "ilink": "o9@im.wechat"}
    )


def test_what_was_said_of_a_bot_is_beside_its_id():
    owners = RememberedOwners(ids={"ilink": "o9"}).with_owner("wecom", "aib1", SAID)
    assert owners.ids == {"ilink": "o9", "wecom": "aib1"}
    assert owners.named == {"wecom": SAID}
    assert read_owners(owners.to_json()) == owners


def test_nothing_said_takes_no_place_and_replaces_what_was_said_before():
    owners = RememberedOwners().with_owner("wecom", "aib1", SAID).with_owner("wecom", "aib2", NOTHING_SAID)
    assert owners == RememberedOwners(ids={"wecom": "aib2"})
    assert owners.to_json() == '{"wecom":"aib2"}'


def test_a_bot_is_unconfirmed_and_its_owner_stays():
    owners = RememberedOwners().with_owner("wecom", "aib1", SAID).unconfirmed()
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
def test_what_the_bridge_never_writes_gives_no_trust(column: str):
    owners = read_owners(column)
    assert owners.ids == {}
    assert set(owners.named.values()) <= {NOTHING_SAID}


async def test_it_is_stored_with_the_account(journal: Journal):
    await journal.open()
    await journal.owner.remember("wecom", "aib1", SAID)
    state = await journal.open()
    assert (state.owner_ids, state.named_owners) == ({"wecom": "aib1"}, {"wecom": SAID})
