"""Files by url over real connections: what may be fetched, and which downloads are ended."""

from __future__ import annotations

import asyncio
import base64
import ssl
from contextlib import aclosing

import pytest
import trustme

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.file_server import leads, ok, says, server
from tests.support.rows import every_row
from wx2mqtt.errors import BadCommand, DeclaredSizeTooLarge, TemporarilyUnavailable, TransferBroken
from wx2mqtt.external import url_fetch
from wx2mqtt.external.url_fetch import (
    GATHERED_BYTES,
    MAX_REDIRECTS,
    MinimumRate,
    UrlFetcher,
    filename_in,
    parse_url,
)
from wx2mqtt.i18n.bridge import rejection_text

LOOPBACK = ("127.0.0.1",)
TIMEOUT_SECONDS = 20.0


async def fetch(
    url: str, *, allowed=LOOPBACK, limit=1_000_000, seconds=TIMEOUT_SECONDS, fetcher=None
) -> bytes:
    download = (fetcher or UrlFetcher()).fetch(
        url, max_bytes=limit, allowed_hosts=allowed, timeout_seconds=seconds
    )
    async with aclosing(download) as pieces:
        return b"".join([piece async for piece in pieces])


async def refusal_of(url: str, **options) -> tuple[type, str, str]:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        with pytest.raises(BadCommand) as refusal:
            await fetch(url, **options)
    assert rejection_text("en", refusal.value) != rejection_text("zh", refusal.value)
    return type(refusal.value), refusal.value.code, refusal.value.message_key


def fake_name_service(**names: str) -> url_fetch.ResolveHost:
    """Returns a name service that knows these names."""

    async def resolve(host: str) -> list[str]:
        return names[host.replace(".", "_")].split()

    return resolve


# what is fetched


async def test_a_file_is_fetched_and_the_server_sees_a_plain_request():
    async with server(ok(b"picture")) as file_server:
        assert await fetch(f"{file_server.url}/a/b.jpg?c=1#part") == b"picture"
        assert file_server.requests[0].startswith(b"GET /a/b.jpg?c=1 HTTP/1.1\r\n")
        assert file_server.header("accept-encoding") == "identity"
        assert file_server.header("user-agent").startswith("wx2mqtt/")
        assert (
            file_server.header("cookie")
            == file_server.header("referer")
            == file_server.header("authorization")
            == ""
        )


@pytest.mark.parametrize(
    "body",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nabcde",
        b"HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n\r\nabcdefgh",
    ],
)
async def test_a_file_is_complete_however_the_server_ends_its_answer(body):
    async with server(says(body)) as file_server:
        assert await fetch(file_server.url) == b"abcde"


async def test_the_name_is_resolved_once_and_sent_in_host_though_the_address_is_connected_to():
    lookups = []

    async def resolve_differently_each_time(host: str) -> list[str]:
        lookups.append(host)
        return ["127.0.0.1"] if len(lookups) == 1 else ["127.0.0.2"]

    async with server(ok(b"picture")) as file_server:
        port = file_server.url.rpartition(":")[2]
        fetcher = UrlFetcher(resolve=resolve_differently_each_time)
        assert (
            await fetch(f"http://Camera.Home:{port}/x", fetcher=fetcher, allowed=["camera.home"])
            == b"picture"
        )
        assert file_server.header("host") == f"camera.home:{port}"
        assert lookups == ["camera.home"]


async def test_the_certificate_is_checked_for_the_name_and_not_for_the_address():
    authority = trustme.CA()
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("camera.home").configure_cert(serving)
    authority.configure_trust(trusting)
    names: list[str] = []
    serving.sni_callback = lambda _socket, name, _context: names.append(name)
    fetcher = UrlFetcher(resolve=fake_name_service(camera_home="127.0.0.1", other_home="127.0.0.1"))
    fetcher._tls_context = trusting
    async with server(ok(b"picture"), serving) as file_server:
        port = file_server.url.rpartition(":")[2]
        allowed = ("camera.home", "other.home", "127.0.0.1")
        assert await fetch(f"https://camera.home:{port}/", fetcher=fetcher, allowed=allowed) == b"picture"
        assert names == ["camera.home"]
        wrong_name = await refusal_of(f"https://other.home:{port}/", fetcher=fetcher, allowed=allowed)
        assert wrong_name == (BadCommand, "fetch_failed", "fetch_certificate")
        untrusted = await refusal_of(
            f"https://camera.home:{port}/", fetcher=UrlFetcher(resolve=fetcher._resolve), allowed=allowed
        )
        assert untrusted == (BadCommand, "fetch_failed", "fetch_certificate")


async def test_the_password_in_a_url_is_sent_to_its_host_only():
    async with server(ok(b"picture")) as camera, server(leads(f"{camera.url}/moved")) as first:
        url = first.url.replace("http://", "http://me:p%40ss@")
        assert await fetch(f"{url}/snapshot") == b"picture"
        assert first.header("authorization") == "Basic " + base64.b64encode(b"me:p@ss").decode()
        assert "@" not in first.header("host")
        assert camera.header("authorization") == ""


async def test_the_proxies_of_the_environment_are_not_asked(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with server(ok(b"picture")) as file_server:
        assert await fetch(file_server.url) == b"picture"


# where nobody may go


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
        "127.1",
        "10.1.2.3",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "[fe80::1]",
        "[fd00:ec2::254]",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_local_addresses_are_refused_however_they_are_written(scheme, host):
    error, code, word = await refusal_of(f"{scheme}://{host}/secret", allowed=())
    assert (error, code) == (BadCommand, "not_allowed")
    assert word in {"fetch_private", "fetch_private_address"}


@pytest.mark.parametrize("host", ["192.168.1.20", "[fe80::1]"])
async def test_the_refusal_of_an_address_does_not_say_that_it_resolves_to_itself(host):
    with pytest.raises(BadCommand) as caught:
        async for _ in UrlFetcher().fetch(
            f"http://{host}/", max_bytes=1000, allowed_hosts=(), timeout_seconds=10.0
        ):
            pass
    sentence = rejection_text("en", caught.value)
    assert sentence.count(host.strip("[]")) == 1
    assert "media.allow_hosts" in sentence


async def test_a_refused_address_is_not_connected_to():
    async with server(ok(b"secret")) as file_server:
        assert (await refusal_of(file_server.url, allowed=()))[1] == "not_allowed"
        assert (await refusal_of(file_server.url, allowed=("camera", "127.0.0.2", "localhost")))[
            1
        ] == "not_allowed"
        assert file_server.requests == []


@pytest.mark.parametrize("answer", ["127.0.0.1", "1.1.1.1 127.0.0.1", "::1", "1.1.1.1 ::ffff:10.0.0.1"])
async def test_a_name_is_refused_if_any_of_its_addresses_is_local(answer):
    fetcher = UrlFetcher(resolve=fake_name_service(evil_example=answer))
    found = await refusal_of("http://evil.example/", fetcher=fetcher, allowed=("127.0.0.1",))
    assert found == (BadCommand, "not_allowed", "fetch_private")


@pytest.mark.parametrize(
    ("location", "code", "word"),
    [
        ("http://127.0.0.2:{port}/secret", "not_allowed", "fetch_private_address"),
        ("//169.254.169.254/latest/meta-data", "not_allowed", "fetch_private_address"),
        ("http://[::1]/", "not_allowed", "fetch_private_address"),
        ("file:///etc/passwd", "fetch_failed", "fetch_bad_redirect"),
        ("gopher://127.0.0.1/", "fetch_failed", "fetch_bad_redirect"),
        ("http://a:99999999/", "fetch_failed", "fetch_bad_redirect"),
    ],
)
async def test_a_redirect_is_checked_as_the_first_address_was(location, code, word):
    async with server(ok(b"secret")) as secret:
        port = secret.url.rpartition(":")[2]
        async with server(leads(location.format(port=port))) as first:
            assert await refusal_of(first.url) == (BadCommand, code, word)
        assert secret.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(status):
    async with server(ok(b"picture")) as last, server(leads(f"{last.url}/x", status)) as first:
        assert await fetch(first.url) == b"picture"


async def test_a_redirect_may_be_relative():
    async def script(head: bytes, writer: asyncio.StreamWriter) -> None:
        await (ok(b"picture") if b"GET /a/c " in head else leads("c"))(head, writer)

    async with server(script) as file_server:
        assert await fetch(f"{file_server.url}/a/b") == b"picture"


async def test_a_sixth_redirect_is_refused():
    count = 0

    async def script(head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await (ok(b"picture") if count > ends else leads("/again"))(head, writer)

    async with server(script) as file_server:
        ends = MAX_REDIRECTS
        assert await fetch(file_server.url) == b"picture"
        count, ends = 0, MAX_REDIRECTS + 1
        assert await refusal_of(file_server.url) == (BadCommand, "fetch_failed", "fetch_hops")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://host/x",
        "gopher://host/",
        "data:image/png;base64,AA==",
        "//host/x",
        "host/x",
        "http:///x",
        "http://",
        "",
        "http://[::1/",
        "http://a:b/",
        "http://a\r\nHost: b/",
        "http://host:0/",
        "http://host:65536/",
        "http://\ud800/",
        "http://a\0b/",
    ],
)
async def test_a_url_that_is_not_http_is_refused(url):
    assert await refusal_of(url) == (BadCommand, "bad_command", "fetch_bad_url")
    with pytest.raises(BadCommand):
        parse_url(url)


# servers that misbehave


async def test_an_endless_body_is_ended_and_one_announced_as_too_large_is_not_read():
    async def endless(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    async with server(endless) as file_server:
        received = 0
        async with aclosing(
            UrlFetcher().fetch(
                file_server.url, max_bytes=10, allowed_hosts=LOOPBACK, timeout_seconds=TIMEOUT_SECONDS
            )
        ) as pieces:
            async for piece in pieces:
                received += len(piece)
                if received > 1_000_000:
                    break
    async with server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n")) as file_server:
        with pytest.raises(DeclaredSizeTooLarge):
            await fetch(file_server.url, limit=10)
    huge = b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 19 + b"\r\n\r\n"
    async with server(says(huge)) as file_server:
        with pytest.raises((DeclaredSizeTooLarge, TransferBroken)):
            await fetch(file_server.url)


async def test_chunks_of_one_byte_are_handed_on_in_large_pieces_and_let_others_run():
    """Each piece has a cost of its own: half a second without a turn of the loop, and a quadratic search for
    the head.
    """
    size = 150_000
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * size + b"0\r\n\r\n"
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with server(says(chunked)) as file_server:
        # On a busy machine the reading of so many chunks is slow, not the server.
        fetcher = UrlFetcher(minimum_rate=MinimumRate(window_seconds=MAX_WAIT_SECONDS))
        download = fetcher.fetch(
            file_server.url, max_bytes=size, allowed_hosts=LOOPBACK, timeout_seconds=MAX_WAIT_SECONDS
        )
        async with aclosing(download):
            first = await anext(download)
            others = asyncio.create_task(count_turns())
            rest = [piece async for piece in download]
            others.cancel()
    assert (len(first), len(first) + sum(map(len, rest))) == (GATHERED_BYTES, size)
    assert len(rest) == 2
    assert turns > 2


BROKEN = (TransferBroken, "fetch_failed", "fetch_cut_off")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab",
    ],
)
async def test_a_body_that_ends_too_early_is_refused(answer):
    async with server(says(answer)) as file_server:
        assert await refusal_of(file_server.url) == BROKEN


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\xff" * 70_000]
)
async def test_an_answer_that_is_no_http_is_refused(answer):
    async with server(says(answer)) as file_server:
        assert await refusal_of(file_server.url) == (TransferBroken, "fetch_failed", "fetch_no_answer")


async def send_endless_body_slowly(_head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await send_bytes_slowly(writer)


async def send_bytes_slowly(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def send_endless_head_slowly(_head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    await send_bytes_slowly(writer)


async def stop_sending(_head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
    await writer.drain()
    await asyncio.sleep(TIMEOUT_SECONDS)


async def test_a_slow_endless_body_is_ended():
    async with server(send_endless_body_slowly) as file_server:
        fetcher = UrlFetcher(minimum_rate=MinimumRate(window_seconds=0.3, min_bytes=1000))
        assert await refusal_of(file_server.url, fetcher=fetcher) == (
            BadCommand,
            "fetch_failed",
            "fetch_too_slow",
        )


async def test_a_server_that_stops_sending_is_ended():
    async with server(stop_sending) as file_server:
        found = await refusal_of(file_server.url, fetcher=UrlFetcher(idle_timeout=0.2))
        assert found == (BadCommand, "fetch_failed", "fetch_too_slow")


async def test_a_slow_endless_head_is_ended(monkeypatch):
    monkeypatch.setattr(url_fetch, "RESPONSE_TIMEOUT_SECONDS", 0.3)
    async with server(send_endless_head_slowly) as file_server:
        assert await refusal_of(file_server.url) == (TransferBroken, "fetch_failed", "fetch_no_answer")


@pytest.mark.parametrize("script", [send_endless_body_slowly, send_endless_head_slowly, stop_sending])
async def test_the_whole_download_has_a_time_limit(script):
    async with server(script) as file_server:
        assert (await refusal_of(file_server.url, seconds=0.3))[1:] == ("fetch_failed", "fetch_too_slow")


async def test_a_slow_disk_is_not_taken_for_a_slow_server():
    async with server(ok(bytes(200_000))) as file_server:
        fetcher, received = UrlFetcher(minimum_rate=MinimumRate(window_seconds=0.5, min_bytes=150_000)), 0
        async with aclosing(
            fetcher.fetch(
                file_server.url, max_bytes=10**6, allowed_hosts=LOOPBACK, timeout_seconds=TIMEOUT_SECONDS
            )
        ) as pieces:
            async for piece in pieces:
                if not received:
                    await asyncio.sleep(0.8)
                received += len(piece)
        assert received == 200_000


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, BadCommand),
        (403, BadCommand),
        (410, BadCommand),
        (304, BadCommand),
        (503, TemporarilyUnavailable),
        (429, TemporarilyUnavailable),
        (500, TemporarilyUnavailable),
    ],
)
async def test_the_status_of_an_answer_decides_whether_it_is_tried_again(status, kind):
    async with server(says(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())) as file_server:
        assert await refusal_of(file_server.url) == (kind, "fetch_failed", "fetch_status")


async def test_a_compressed_body_is_refused():
    async with server(ok(b"x", b"Content-Encoding: gzip")) as file_server:
        assert await refusal_of(file_server.url) == (BadCommand, "fetch_failed", "fetch_packed")


async def test_a_refused_connection_may_be_tried_again_and_an_unknown_name_not():
    async with server(ok(b"")) as file_server:
        gone = file_server.url
    assert await refusal_of(gone) == (TemporarilyUnavailable, "fetch_failed", "fetch_no_connection")
    assert await refusal_of("http://nowhere.invalid/") == (TransferBroken, "fetch_failed", "fetch_no_name")
    assert await refusal_of(f"http://{'a' * 70}.b/") == (TransferBroken, "fetch_failed", "fetch_no_name")


async def test_where_one_address_is_dead_the_next_one_is_tried():
    async with server(ok(b"picture")) as file_server:
        port = file_server.url.rpartition(":")[2]
        fetcher = UrlFetcher(resolve=fake_name_service(two_homes="127.0.0.9 127.0.0.1"))
        assert await fetch(f"http://two.homes:{port}/", fetcher=fetcher, allowed=["two.homes"]) == b"picture"


# names


@every_row(
    ("url", "name"),
    [
        ("http://h/a/b.jpg?x=1#y", "b.jpg"),
        ("http://h/%E5%9B%BE.png", "图.png"),
        ("http://h/a%2Fb", "b"),
        ("http://h/", ""),
        ("http://h", ""),
        ("http://h/..%2f..", ".."),
    ],
)
def test_the_name_of_a_file_is_the_last_part_of_its_path(url, name):
    assert filename_in(url) == name
