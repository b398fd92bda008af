from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.wecom_gateway import Gateway, gateway_running


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with gateway_running() as gateway:
        yield gateway
