"""The HTTP client of all backends: its certificates and proxies."""

from __future__ import annotations

import ssl

import httpx
import pytest

from wx2mqtt.wechat import http


def test_certificates_are_loaded_only_where_there_is_tls() -> None:
    assert http.trust_for("http://127.0.0.1:1").get_ca_certs() == []
    assert http.trust_for("https://127.0.0.1:1").verify_mode is ssl.CERT_REQUIRED
    assert http.trust_for(None).verify_mode is ssl.CERT_REQUIRED


async def test_proxies_of_the_environment_are_used_for_wechat_itself_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    wechat, own = http.create_client(None, {}, None), http.create_client("http://wechat.test", {}, None)
    assert isinstance(wechat, httpx.AsyncClient)
    assert any(mount is not None for mount in wechat._mounts.values())
    assert isinstance(own, http.DirectClient)  # goes to the address itself
    await wechat.aclose()
    await own.aclose()
