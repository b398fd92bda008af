"""weixin-ilink-client as its readme shows it: log in, receive, answer, fetch and send media, type.

Prints what it receives and does as lines of JSON. It waits for a line of input before it sends, and before it ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from pathlib import Path

import redirect_to_simulator  # type: ignore[import-not-found]  # noqa: F401  (first: it redirects the client that is imported next)

from weixin_ilink_client import AsyncWeixinIlinkClient, QrLoginManager  # type: ignore[import-not-found]  # isort: skip
from weixin_ilink_client.types import MediaKind, QrStatus  # type: ignore[import-not-found]  # isort: skip

KINDS = {".jpg": MediaKind.IMAGE, ".mp4": MediaKind.VIDEO}


def report(**values):
    sys.stdout.write(json.dumps(values, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def read_line():
    return asyncio.to_thread(sys.stdin.readline)


async def log_in():
    manager = QrLoginManager()
    session = await manager.start()
    last_status = QrStatus.WAIT
    while True:
        result = await manager.poll(session)
        if result.status is not last_status:
            last_status = result.status
            report(what="status", status=result.status.value)
        if result.status is QrStatus.NEED_VERIFY_CODE:
            manager.submit_verify_code(session, await read_line())
        if result.credentials:
            await manager.aclose()
            return result.credentials


async def main(files):
    credentials = await log_in()
    report(what="logged in", user=credentials.user_id, bot=credentials.account_id, base=credentials.base_url)
    client = AsyncWeixinIlinkClient(credentials)

    async def received(message):
        for item in message.items:
            if item.media_kind:
                data = (await client.download_media(item)).content
                report(what="media", kind=item.media_kind.value, sha256=hashlib.sha256(data).hexdigest())
        report(what="message", user=message.from_user_id, id=message.message_id, text=message.text)
        if message.text.startswith("开灯"):
            await client.set_typing(message.from_user_id, True)
            await client.send_text(message.from_user_id, "好的 ☀")
            report(what="answered")

    stop = asyncio.Event()
    running = asyncio.create_task(client.run(received, stop_event=stop))
    report(what="running")
    await read_line()
    for name, content in files.items():
        kind = KINDS.get(Path(name).suffix, MediaKind.FILE)
        await client.send_media(credentials.user_id, content, kind=kind, file_name=name)
        report(what="sent")
    await read_line()
    running.cancel()
    await client.aclose()
    report(what="gone")


asyncio.run(main({name: Path(name).read_bytes() for name in json.loads(sys.argv[1])}))
