"""Messages with files, for the tests of the bridge: WeChat has the bytes of each, and their end can be awaited."""

from __future__ import annotations

from typing import Any

from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import WIFE
from wx2mqtt.model import Contact, Kind, MediaRef
from wx2mqtt.store.records import MediaRow, MediaState

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000020000000308020000006ef8d1b1")
READY, PENDING, FAILED, GONE = MediaState.READY, MediaState.PENDING, MediaState.FAILED, MediaState.GONE


def ref(file: str, **more: Any) -> MediaRef:
    return MediaRef(locator={"id": file}, **more)


def deliver_files(
    bridge: BridgedAccount, *names: str, contact: Contact = WIFE, kind: Kind = Kind.IMAGE, **more: Any
) -> None:
    """Delivers messages in one batch; each has a picture whose bytes end with its name."""
    backend = bridge.backend
    for name in names:
        backend.files.setdefault(name, PNG + name.encode())
    backend.deliver(
        *(
            backend.message(contact, f"[{name}]", **{"id": name, "kind": kind, "media": ref(name), **more})
            for name in names
        )
    )


async def file_rows(bridge: BridgedAccount, name: str) -> list[MediaRow]:
    """Returns the rows of the files of a message: the whole one first."""
    return await bridge.account.ctx.journal.media.of_messages([name])


async def file_row(bridge: BridgedAccount, name: str) -> MediaRow:
    return (await file_rows(bridge, name))[0]


async def wait_for_end(bridge: BridgedAccount, name: str, state: MediaState = READY) -> MediaRow:
    """Returns the row of a message's file once its download has ended, in this state."""
    await bridge.wait_until(
        lambda: any(event["message_id"] == name for event in bridge.published("wx/event/media"))
    )
    row = await file_row(bridge, name)
    assert row.state is state
    return row
