"""The real bridge with a fault of ours in it: a message that says so ends the room that takes it in, once."""

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

POISON = "a fault of ours"


def poison() -> None:
    """It does not come again, so that what it held up is seen to go on."""
    sound, poisoned = InboundMessages.store, False

    async def take(self: InboundMessages, batch: Batch, login_id: str) -> None:
        nonlocal poisoned
        if not poisoned and any(getattr(item, "text", "") == POISON for item in batch.items):
            poisoned = True
            raise RuntimeError("ours")
        await sound(self, batch, login_id)

    InboundMessages.store = take  # type: ignore[method-assign]


def main(config: Path) -> None:
    loaded = load(config, {}, BACKENDS)
    log = loaded.settings.log
    logs.configure(level=log.level, format=log.format, stream=sys.stderr, message_text=False)
    poison()
    loop_watch.start_from_environment()
    asyncio.run(run(loaded, RunEnvironment(env={})))


if __name__ == "__main__":
    main(Path(sys.argv[sys.argv.index("-c") + 1]))
