"""An instance registers under a name that is its own, and stores its row again where it was deleted."""

from __future__ import annotations

import psycopg
import pytest

from tests.unit.cluster.harness import ACCOUNTS, wait_until
from wx2mqtt.errors import StoreLocked


async def test_a_second_instance_of_the_same_name_is_refused(make_instance):
    first, second = make_instance("first"), make_instance("first")
    await first.join()
    with pytest.raises(StoreLocked, match=r"set cluster\.instance"):
        await second.join()


async def test_the_row_of_an_instance_is_stored_again_after_it_was_deleted(make_instance):
    first = make_instance("first")
    await first.join()
    with psycopg.connect(first.url, autocommit=True) as connection:
        connection.execute("DELETE FROM instance")
    await wait_until(lambda: bool(first.takeover.snapshot.instances) and first.running == set(ACCOUNTS))
