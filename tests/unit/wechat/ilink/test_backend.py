"""The backend without a login, and its language."""

from __future__ import annotations

import pytest

from tests.unit.wechat.ilink.server import ILinkRig
from wx2mqtt.errors import LoggedOut
from wx2mqtt.i18n.wechat import ilink_text
from wx2mqtt.model import Draft, Handle, Kind, SendKey


async def test_texts_follow_the_language_that_was_set_last() -> None:
    rig = ILinkRig()
    draft = Draft(chat=Handle("o9cq80me@im.wechat"), kind=Kind.TEXT, text="x")
    messages = []
    for language in ("en", "zh"):
        rig.backend.set_language(language)
        with pytest.raises(LoggedOut) as caught:
            await rig.send(draft, SendKey("1"))
        messages.append(str(caught.value))
    assert messages == [ilink_text("en", "no_login"), ilink_text("zh", "no_login")]
