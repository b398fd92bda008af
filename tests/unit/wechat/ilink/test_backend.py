"""The backend without a login, and its language."""

from __future__ import annotations

import pytest

from tests.unit.wechat.ilink.server import World
from wx2mqtt.errors import LoggedOut
from wx2mqtt.i18n.wechat import ilink_text
from wx2mqtt.model import Draft, Handle, Kind, SendKey


async def test_words_come_in_another_language_once_it_is_set() -> None:
    world = World(language="en")
    draft = Draft(chat=Handle("o9cq80me@im.wechat"), kind=Kind.TEXT, text="x")
    said = []
    for language in ("en", "zh"):
        world.gateway.set_language(language)
        with pytest.raises(LoggedOut) as caught:
            await world.gateway.send(draft, SendKey("1"))
        said.append(str(caught.value))
    assert said == [ilink_text("en", "no_login"), ilink_text("zh", "no_login")]
    await world.gateway.close()
