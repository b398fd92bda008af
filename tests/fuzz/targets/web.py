"""HTTP: headers, forms and ranges of requests to the page; URLs and answers of other servers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from ipaddress import IPv6Address, ip_network

import httpx
from starlette.requests import Request

from tests.fuzz.mutators import grown, mutated
from tests.fuzz.target import Target
from tests.fuzz.targets.mqtt import check_refusal
from tests.support.web import options
from wx2mqtt.clock import parse_http_date
from wx2mqtt.errors import BadCommand
from wx2mqtt.external.allowed_addresses import is_local, is_public, plain_address, same_host
from wx2mqtt.external.url_fetch import filename_in, host_of, parse_url, redirect_target
from wx2mqtt.web import allowed_hosts, media_headers, media_ranges, request_context
from wx2mqtt.web.auth import Authenticator
from wx2mqtt.web.login_page import _local_path

_LOOP = asyncio.new_event_loop()
_OPTIONS = options(
    prefix="/usual", password="secret", token="t", proxies=(ip_network("10.0.0.0/8"), ip_network("::1/128"))
)
_HOSTS = allowed_hosts.AllowedHosts(_OPTIONS)
_NAMES = (
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-prefix",
    "x-ingress-path",
    "range",
    "if-range",
    "if-none-match",
    "if-modified-since",
)


def _run_headers(data: bytes) -> None:
    lines = data.decode("latin-1").split("\n")
    headers = dict(zip(_NAMES, lines, strict=False))
    for peer in ("10.1.2.3", "203.0.113.1", lines[0]):
        client = request_context.client_info(peer, headers, _OPTIONS)
        assert request_context.has_ingress_path(headers) in {True, False}
        assert not client.address or allowed_hosts.parse_address(client.address) is not None
        assert not client.prefix or (
            client.prefix.startswith("/")
            and "//" not in client.prefix
            and ".." not in client.prefix.split("/")
        )
    for line in lines[:8]:
        _check_client(line)
        assert request_context.preferred_language(line, "en") in {"en", "zh"}
        host = allowed_hosts.host_of_header(line)
        assert len(host) <= 253
        if _HOSTS.is_allowed(line):
            assert allowed_hosts.normalized_host(host) in {
                "localhost",
                "127.0.0.1",
                _OPTIONS.host,
            } or allowed_hosts.parse_address(host)
        if _HOSTS.is_same_origin(line, "localhost:8099"):
            assert line.lower().startswith(("http://", "https://"))
        path = _local_path(line)
        assert path.startswith("/")
        assert not path.startswith("//")
    with suppress(media_ranges.RangeNotSatisfiable):
        byte_range = media_ranges.requested_range(headers, 1000, '"etag"', 1_700_000_000)
        assert byte_range is None or 0 <= byte_range.start < byte_range.stop <= 1000
    media_ranges.is_not_modified(headers, '"etag"', 1_700_000_000)
    parse_http_date(lines[0])


def _check_client(text: str) -> None:
    """Fails unless an address belongs to the network that counts as its client, and another text to none."""
    network = allowed_hosts.client_network(text)
    assert allowed_hosts.client_network(network) == network
    address = allowed_hosts.parse_address(text)
    if address is None:
        assert not allowed_hosts.is_in_networks(text, _OPTIONS.proxies)
        return
    own = ip_network(network)
    assert own.num_addresses == (1 if own.version == 4 else 1 << 64)
    assert allowed_hosts.is_in_networks(text, (own,))


_HEADERS = (
    b'203.0.113.9, 10.9.9.9\nhttps\n/wechat\n/api/hassio_ingress/x\nbytes=0-99\nThu, 01 Jan 1970 00:00:00 GMT\nW/"etag"\nThu, 01 Jan 2026 00:00:00 GMT',
    b"2001:db8::1:2\n10.0.0.1\n::ffff:10.0.0.1\nfe80::1%eth0\n::1\n[2001:db8::1]\n-\n203.0.113.1",
    b'zh-CN,zh;q=0.9,en;q=0.8\nlocalhost:8099\n[::1]:8099\nhttp://localhost:8099\nbytes=-5\n"etag"\n*\nx',
)
_HEADER_WORDS = (
    "\n",
    ", ",
    ";q=",
    "bytes=",
    "-",
    "GMT",
    "Thu, ",
    "127.0.0.1",
    "[::1]",
    ":",
    "/",
    "..",
    "W/",
    '"',
    "http://",
    "%eth0",
    "+9999",
)


def _run_names(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    name = media_headers.download_name(text, "file.bin")
    assert len(name.encode()) <= media_headers.MAX_NAME_BYTES + 10
    assert "/" not in name
    for mime in ("image/png", "text/html", text[:200]):
        header = media_headers.content_disposition(mime, name)
        header.encode("latin-1")
        assert header.isprintable()
        kind = media_headers.content_type(mime)
        assert kind.isascii()
        assert kind.isprintable()
        if header.startswith("inline"):
            assert "html" not in mime
            assert "svg" not in mime


def _run_form(data: bytes) -> None:
    chunks = [data[:1000], data[1000:]]

    async def receive() -> dict[str, object]:
        body = chunks.pop(0) if chunks else b""
        return {"type": "http.request", "body": body, "more_body": bool(chunks)}

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    with suppress(request_context.BadForm):
        fields = _LOOP.run_until_complete(request_context.read_form(Request(scope, receive)))
        assert len(fields) <= request_context.MAX_FORM_FIELDS
        for value in fields.values():
            value.encode()
    authenticator = Authenticator(_OPTIONS, lambda: 0.0)
    text = data.decode("utf-8", "replace")
    assert not authenticator.log_in(text, "203.0.113.1").session_key
    assert not authenticator.is_session_valid(text)
    assert authenticator.login_wait(text[:100]) >= 0.0
    authenticator.authenticate(session_key=text, token=text, address=text[:100])
    authenticator.log_out(text)


_FORMS = (
    b"password=secret1&next=%2Faccounts",
    b"user=wife&text=%E4%BD%A0%E5%A5%BD&csrf=x",
    b"a=1&a=2&b=",
    b"",
)


_LOCAL = (ip_network("10.0.0.0/8"), ip_network("93.184.216.0/24"), ip_network("2001:db8::/48"))
# Under which IPv6 writes an IPv4 address: mapped, and of a network with IPv6 only.
_IPV6_PREFIXES = (int(IPv6Address("::ffff:0:0")), int(IPv6Address("64:ff9b::")))


def _run_url(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        _check_fetched(parse_url(text))
        filename_in(text).encode("utf-8", "replace")
    except BadCommand as bad:
        check_refusal(bad)
    try:
        target = redirect_target(parse_url("https://user:pw@example.org/a/b?c#d"), text)
    except BadCommand as bad:
        check_refusal(bad)
    else:
        _check_fetched(target)
        assert not target.username
    assert same_host(text, text)
    if is_public(text):
        assert allowed_hosts.parse_address(text) is not None
    _check_local(text)


def _check_local(text: str) -> None:
    """Fails unless an address is local in each form in which it can be written, and another text is not."""
    plain = plain_address(text)
    assert not is_local(text, ())
    if plain is None:
        assert not is_local(text, _LOCAL)
        return
    assert plain_address(str(plain)) == plain
    forms = [text, str(plain), f"{plain}%eth0"]
    if plain.version == 4:
        forms += [str(IPv6Address(prefix + int(plain))) for prefix in _IPV6_PREFIXES]
    expected = any(network.version == plain.version and plain in network for network in _LOCAL)
    assert {is_local(form, _LOCAL) for form in forms} == {expected}
    assert is_local(text, (ip_network(str(plain)),))


def _check_fetched(url: httpx.URL) -> None:
    assert url.scheme in {"http", "https"}
    assert host_of(url).isascii()
    assert same_host(host_of(url), url.host)
    assert url.port is None or 1 <= url.port <= 65_535
    url.path.encode("utf-8", "replace")
    assert host_of(parse_url(str(url))).lower() == host_of(url).lower()  # a case of `%5B`


_URLS = (
    b"https://example.org:8443/a/b.jpg?x=1#y",
    b"http://user:pw@[2001:db8::1]/x",
    "https://exämple.org/ü".encode(),
    b"//other/x",
    b"../c",
    b"8.8.8.8",
    b"::ffff:10.0.0.1",
    b"64:ff9b::a00:1",
    b"93.184.216.34",
    b"fe80::1%eth0",
)
_URL_WORDS = (
    "http://",
    "https://",
    "xn--",
    "@",
    ":",
    "[",
    "]",
    "/",
    "?",
    "#",
    "%",
    "..",
    "127.0.0.1",
    "localhost",
    ".",
    "ä",
    "。",
    "\u00ad",
    "0x7f.1",
)


TARGETS = (
    Target(
        name="web.headers",
        run=_run_headers,
        parsers=(
            *(
                "web.request_context:client_info",
                "web.request_context:preferred_language",
                "web.request_context:has_ingress_path",
            ),
            *(
                f"web.allowed_hosts:{name}"
                for name in (
                    "AllowedHosts.is_allowed",
                    "AllowedHosts.is_same_origin",
                    "host_of_header",
                    "normalized_host",
                    "client_network",
                    "is_in_networks",
                    "parse_address",
                )
            ),
            *(
                "web.media_ranges:requested_range",
                "web.media_ranges:is_not_modified",
                "clock:parse_http_date",
            ),
        ),
        seeds=_HEADERS,
        generate=mutated(_HEADERS, _HEADER_WORDS),
        grow=grown(_HEADERS, _HEADER_WORDS),
        cost_factor=4.0,
        memory_factor=4.0,  # the library splits a date into tokens; the HTTP servers and clients bound a header
    ),
    Target(
        name="web.file_names",
        run=_run_names,
        parsers=tuple(
            f"web.media_headers:{name}" for name in ("download_name", "content_disposition", "content_type")
        ),
        seeds=("报告.pdf".encode(), b"a.b", b"image/png", b"text/html", "＂x＂.jpg".encode()),
        generate=mutated(
            ("报告.pdf".encode(), b"a.b", b"image/png", "＂x＂.jpg".encode()),
            (".", "/", '"', "\u202e", "%", ";"),
        ),
        grow=grown(("报告.pdf".encode(), b"a.b"), (".", "/", '"', "é")),
    ),
    Target(
        name="web.forms",
        run=_run_form,
        parsers=(
            "web.request_context:read_form",
            *(
                f"web.auth:Authenticator.{name}"
                for name in ("log_in", "login_wait", "authenticate", "is_session_valid", "log_out")
            ),
        ),
        seeds=_FORMS,
        generate=mutated(_FORMS, ("&", "=", "%", "+", ";", "password=", "%00", "%ff")),
        grow=grown(_FORMS, ("&", "=", "%", "a=1&")),
        memory_factor=2.0,
    ),
    Target(
        name="external.urls",
        run=_run_url,
        parsers=(
            *(
                f"external.url_fetch:{name}"
                for name in ("parse_url", "redirect_target", "host_of", "filename_in")
            ),
            *(
                f"external.allowed_addresses:{name}"
                for name in ("is_local", "is_public", "plain_address", "same_host")
            ),
        ),
        seeds=_URLS,
        generate=mutated(_URLS, _URL_WORDS),
        grow=grown(_URLS, _URL_WORDS),
        cost_factor=4.0,
        memory_factor=12.0,  # httpx escapes a path sign by sign; a command has 8,192 at most
    ),
)
