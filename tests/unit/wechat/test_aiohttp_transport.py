"""The certificates of the transport to WeChat; the network is `scenarios/test_http_transport.py`."""

from __future__ import annotations

import ssl

from wx2mqtt.wechat.aiohttp_transport import tls_context


def test_certificates_are_loaded_only_where_there_is_tls() -> None:
    assert tls_context("http://127.0.0.1:1").get_ca_certs() == []
    assert tls_context("https://127.0.0.1:1").verify_mode is ssl.CERT_REQUIRED
    assert tls_context(None).verify_mode is ssl.CERT_REQUIRED
