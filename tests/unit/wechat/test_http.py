"""The HTTP client of all backends: its certificates and proxies."""

from __future__ import annotations

import ssl

import httpx
import pytest

from wx2mqtt.wechat import http


def test_certificates_are_loaded_only_where_there_is_tls() -> None:
    assert http.tls_context("http://127.0.0.1:1").get_ca_certs() == []
    assert http.tls_context("https://127.0.0.1:1").verify_mode is ssl.CERT_REQUIRED
    assert http.tls_context(None).verify_mode is ssl.CERT_REQUIRED


async def test_proxies_of_the_environment_are_used_for_wechat_itself_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    wechat, own = http.create_transport(None), http.create_transport("http://wechat.test")
    assert isinstance(wechat, http.ProxiedTransport)
    assert any(mount is not None for mount in wechat._client._mounts.values())
    assert isinstance(own, httpx.AsyncHTTPTransport)  # goes to the address itself
    await wechat.aclose()
    await own.aclose()
