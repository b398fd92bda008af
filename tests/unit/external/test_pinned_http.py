"""What counts as the URL of a file; the client is `scenarios/test_outside.py`."""

from __future__ import annotations

import pytest

from wx2mqtt.external.pinned_http import InvalidUrl, UrlParts


@pytest.mark.parametrize("location", ["http://////u@[", "http://////user:pw@evil.example/"])
def test_a_redirect_whose_path_would_become_a_host_with_a_password_is_no_url(location: str) -> None:
    with pytest.raises(InvalidUrl):
        UrlParts.parse("https://example.org/a").join(location)
