"""The capabilities of web WeChat (webwx 6.1)."""

from __future__ import annotations

from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx.protocol import endpoints


def test_a_sticker_of_five_megabytes_is_the_largest() -> None:
    limits = endpoints.CAPABILITIES.media[Kind.STICKER]
    assert limits.max_bytes == 5_242_880
    assert limits.mime_types == {"image/gif"}
