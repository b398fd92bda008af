"""What the page reads of an account."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import Any

import pytest

from tests.support.page import FakeAccountView
from wx2mqtt.web.page.account_data import read_account


async def test_a_viewer_who_leaves_before_the_store_was_asked_leaves_no_read_behind():
    view: Any = FakeAccountView()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        reading = asyncio.create_task(read_account(view))
        await asyncio.sleep(0)  # the reads are planned, none has begun
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        gc.collect()
    assert [str(warning.message) for warning in warned] == []
