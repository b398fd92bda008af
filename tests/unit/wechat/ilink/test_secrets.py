"""No secret of iLink gets into a log, an error or a repr, whatever the servers answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.wechat.ilink.entries import BOT, KEY, ME, entry, image, text
from tests.unit.wechat.ilink.files import draft
from tests.unit.wechat.ilink.server import DEAD, ILinkRig, answer, raw, scan
from tests.unit.wechat.rig import query
from wx2mqtt.errors import BackendError
from wx2mqtt.model import Draft, Handle, Kind, SendKey

FAILURES: list[Any] = [
    raw(b"SECRET", 500),
    raw(b"SECRET", 403),
    raw(b'{"ret": -2, "errmsg": "SECRET'),
    answer(ret=-5),
    answer(**DEAD),
    httpx.ReadError("SECRET"),
    httpx.ConnectError("SECRET"),
    httpx.ReadTimeout("SECRET"),
]


def secrets_of(rig: ILinkRig) -> set[str]:
    """Returns the secrets that were sent or received."""
    found = {"SECRET", KEY.hex()}
    for request in rig.requests:
        found |= {value for value in query(request).values() if len(value) > 5}
        found |= {request.headers.get("Authorization", "").removeprefix("Bearer ")}
    for body in rig.bodies("getuploadurl"):
        found |= {body["aeskey"], body["filekey"]}
    return found - {""}


@pytest.mark.parametrize("failure", FAILURES, ids=[str(number) for number in range(len(FAILURES))])
async def test_no_trouble_brings_a_secret_out(
    failure: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The log is not redacted here, so that the test does not depend on the redaction.
    rig = ILinkRig(typing=True)
    visible: list[str] = []
    rig.put(
        "get_qrcode_status",
        failure,
        scan("wait"),
        answer(status="confirmed", bot_token="a:SECRET1234567", ilink_bot_id=BOT, ilink_user_id=ME),
    )
    steps = [step async for step in rig.backend.login(resume=False)]
    visible.append(repr(steps[-1]))
    cursor = (await rig.log_in()).cursor
    batch = await rig.receive(entry(text(), image()))
    visible.append(repr(batch.items))
    for call in (
        "getupdates",
        "sendmessage",
        "getuploadurl",
        "upload",
        "download",
        "getconfig",
        "notifystop",
    ):
        rig.put(call, failure)
    drafts = [Draft(chat=Handle(ME), kind=Kind.TEXT, text="ok"), draft(tmp_path)]
    for number, message in enumerate(drafts):
        try:
            visible.append(repr(await rig.send(message, SendKey(str(number)))))
        except BackendError as error:
            visible.append(f"{error!r} {error}")
    try:
        visible.append(repr(await rig.poll(cursor)))
    except BackendError as error:
        visible.append(f"{error!r} {error}")
    try:
        async for _ in rig.backend.download(batch.items[1].media):
            pass
    except BackendError as error:
        visible.append(f"{error!r} {error}")
    await rig.backend.logout()
    await rig.backend.close()
    shown = "".join((*visible, *capsys.readouterr()))
    for secret in secrets_of(rig):
        assert secret not in shown
