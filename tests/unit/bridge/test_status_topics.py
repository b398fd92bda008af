"""The QR code as people's phones see it, and what stands where none is needed."""

from __future__ import annotations

import pytest

from tests.support.scanner import codes_in
from wx2mqtt.bridge.status_topics import placeholder_picture, qr_picture


@pytest.mark.parametrize(
    "url", ["https://login.weixin.qq.com/l/gZbA1kXyTQ==", "https://x.example/" + "a" * 500]
)
def test_a_scanner_reads_the_address_in_the_picture(url: str):
    assert codes_in(qr_picture(url)) == [url]


def test_the_placeholder_is_a_picture_in_the_language_without_a_code():
    pictures = [
        placeholder_picture(language, needed=needed) for language in ("en", "zh") for needed in (True, False)
    ]
    assert [codes_in(one) for one in pictures] == [[]] * 4
    assert len(set(pictures)) == 4
