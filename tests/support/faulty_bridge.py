"""The real bridge with a fault: the first message with `FAILING_TEXT` makes its account fail when it is stored."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.support import loop_watch
from wx2mqtt.app import logs
from wx2mqtt.app.application import RunEnvironment
from wx2mqtt.app.process import run
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.settings.loader import load
from wx2mqtt.wechat.backend import Batch
from wx2mqtt.wechat.registry import BACKENDS

FAILING_TEXT = "a fault of ours"


def fail_once() -> None:
    """Lets storing fail once, so that a test sees how the account goes on."""
    original_store, has_failed = InboundMessages.store, False

    async def store(self: InboundMessages, batch: Batch, login_id: str) -> None:
        nonlocal has_failed
        if not has_failed and any(getattr(item, "text", "") == FAILING_TEXT for item in batch.items):
            has_failed = True
            raise RuntimeError("ours")
        await original_store(self, batch, login_id)

    InboundMessages.store = store  # type: ignore[method-assign]


def main(config: Path) -> None:
    loaded = load(config, {}, BACKENDS)
    log = loaded.settings.log
    logs.configure(level=log.level, format=log.format, stream=sys.stderr, message_text=False)
    fail_once()
    loop_watch.start_from_environment()
    asyncio.run(run(loaded, RunEnvironment(env={})))


if __name__ == "__main__":
    main(Path(sys.argv[sys.argv.index("-c") + 1]))
