"""Helpers for tests that send: a client over a real socket, and drafts with texts and files."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.scenarios.wecom.logins import FakeCredentialStore
from tests.support.backend_options import backend_options
from tests.support.wecom_gateway import Gateway
from wx2mqtt.clock import Clock
from wx2mqtt.model import Attachment, Blob, Draft, Handle, Kind
from wx2mqtt.wechat.wecom.client import WeComClient
from wx2mqtt.wechat.wecom.protocol.session import SavedBot
from wx2mqtt.wechat.wecom.wecom_http import WeComHttp

ANNA = Handle("user:Anna")
FAMILY = Handle("group:wrkFamily")

MIMES = {Kind.IMAGE: "image/png", Kind.VIDEO: "video/mp4", Kind.FILE: "application/pdf"}


class AdjustableClock:
    """The clock of the machine, which a test can put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0
        real = Clock()
        self.clock = Clock(
            wall=lambda: real.wall() + self.ahead,
            monotonic=lambda: real.monotonic() + self.ahead,
            boot_time=lambda: real.boot_time() + self.ahead,
        )


@asynccontextmanager
async def connected_client(gateway: Gateway, **options: Any) -> AsyncIterator[WeComClient]:
    """Gives a client that has subscribed; the gateway has forgotten the requests for that."""
    defaults: dict[str, Any] = {"credentials": FakeCredentialStore(), "endpoint": gateway.endpoint}
    client_options = backend_options(**{**defaults, **options})
    http = WeComHttp(client_options)
    client = WeComClient(client_options, http, None)
    await client.login.load()
    client.login.use(
        client.login.saved or SavedBot(bot_id="aibK1", secret="geheim", endpoint=gateway.endpoint)
    )
    try:
        await client.subscribe()
        gateway.requests.clear()
        yield client
    finally:
        await client.disconnect()
        await http.close()


def text_draft(text: str, chat: Handle = ANNA, **more: Any) -> Draft:
    return Draft(chat=chat, kind=Kind.TEXT, text=text, **more)


def file_draft(folder: Path, data: bytes, kind: Kind = Kind.FILE, **more: Any) -> Draft:
    """Returns a draft with a file of these bytes; `mime`, `name` and fields of the draft may be given."""
    sha256 = hashlib.sha256(data).hexdigest()
    file = folder / sha256
    file.write_bytes(data)
    blob = Blob(sha256=sha256, size=len(data), mime=more.pop("mime", "") or MIMES[kind], path="x")
    attachment = Attachment(file=file, name=more.pop("name", "门.pdf"), blob=blob)
    return Draft(**{"chat": ANNA, "kind": kind, "attachment": attachment, **more})
