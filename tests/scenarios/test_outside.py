"""Files by url over real connections: what may be asked, and what is ended."""

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

HOME = ("127.0.0.1",)
SECONDS = 20.0


async def fetch(url: str, *, allowed=HOME, limit=1_000_000, seconds=SECONDS, fetcher=None) -> bytes:
    it = (fetcher or UrlFetcher()).fetch(url, max_bytes=limit, allowed_hosts=allowed, timeout_seconds=seconds)
    async with aclosing(it) as pieces:
        return b"".join([piece async for piece in pieces])


async def refused(url: str, **how) -> tuple[type, str, str]:
    async with asyncio.timeout(SECONDS):
        with pytest.raises(BadCommand) as refusal:
            await fetch(url, **how)
    assert rejection_text("en", refusal.value) != rejection_text("zh", refusal.value)
    return type(refusal.value), refusal.value.code, refusal.value.message_key


def book(**names: str) -> url_fetch.ResolveHost:
    """A name service that knows these; `asked` counts."""

    async def look_up(host: str) -> list[str]:
        return names[host.replace(".", "_")].split()

    return look_up


# what is fetched


async def test_a_file_is_fetched_and_the_server_sees_a_plain_request():
    async with server(ok(b"picture")) as house:
        assert await fetch(f"{house.url}/a/b.jpg?c=1#part") == b"picture"
        assert house.requests[0].startswith(b"GET /a/b.jpg?c=1 HTTP/1.1\r\n")
        assert house.header("accept-encoding") == "identity"
        assert house.header("user-agent").startswith("wx2mqtt/")
        assert house.header("cookie") == house.header("referer") == house.header("authorization") == ""


@pytest.mark.parametrize(
    "body",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nabcde",
        b"HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n\r\nabcdefgh",
    ],
)
async def test_however_a_server_ends_its_answer(body):
    async with server(says(body)) as house:
        assert await fetch(house.url) == b"abcde"


async def test_the_name_is_asked_for_once_and_goes_into_host_though_the_connection_is_made_to_the_address():
    lookups = []

    async def changes_its_mind(host: str) -> list[str]:
        lookups.append(host)
        return ["127.0.0.1"] if len(lookups) == 1 else ["127.0.0.2"]

    async with server(ok(b"picture")) as house:
        port = house.url.rpartition(":")[2]
        fetcher = UrlFetcher(resolve=changes_its_mind)
        assert (
            await fetch(f"http://Camera.Home:{port}/x", fetcher=fetcher, allowed=["camera.home"])
            == b"picture"
        )
        assert house.header("host") == f"camera.home:{port}"
        assert lookups == ["camera.home"]


async def test_the_certificate_is_checked_for_the_name_and_not_for_the_address():
    authority = trustme.CA()
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("camera.home").configure_cert(serving)
    authority.configure_trust(trusting)
    names: list[str] = []
    serving.sni_callback = lambda _socket, name, _context: names.append(name)
    fetcher = UrlFetcher(resolve=book(camera_home="127.0.0.1", other_home="127.0.0.1"))
    fetcher._tls_context = trusting
    async with server(ok(b"picture"), serving) as house:
        port = house.url.rpartition(":")[2]
        allowed = ("camera.home", "other.home", "127.0.0.1")
        assert await fetch(f"https://camera.home:{port}/", fetcher=fetcher, allowed=allowed) == b"picture"
        assert names == ["camera.home"]
        wrong = await refused(f"https://other.home:{port}/", fetcher=fetcher, allowed=allowed)
        assert wrong == (BadCommand, "fetch_failed", "fetch_certificate")
        unknown = await refused(
            f"https://camera.home:{port}/", fetcher=UrlFetcher(resolve=fetcher._resolve), allowed=allowed
        )
        assert unknown == (BadCommand, "fetch_failed", "fetch_certificate")


async def test_a_camera_with_a_password_in_its_address_gets_it_and_nobody_else_does():
    async with server(ok(b"picture")) as camera, server(leads(f"{camera.url}/moved")) as first:
        url = first.url.replace("http://", "http://me:p%40ss@")
        assert await fetch(f"{url}/snapshot") == b"picture"
        assert first.header("authorization") == "Basic " + base64.b64encode(b"me:p@ss").decode()
        assert "@" not in first.header("host")
        assert camera.header("authorization") == ""


async def test_the_proxies_of_the_environment_are_not_asked(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with server(ok(b"picture")) as house:
        assert await fetch(house.url) == b"picture"


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
async def test_this_machine_and_the_house_are_not_asked_however_they_are_written(scheme, host):
    error, code, word = await refused(f"{scheme}://{host}/secret", allowed=())
    assert (error, code) == (BadCommand, "not_allowed")
    assert word in {"fetch_private", "fetch_private_address"}


@pytest.mark.parametrize("host", ["192.168.1.20", "[fe80::1]"])
async def test_an_address_is_not_said_to_be_itself(host):
    with pytest.raises(BadCommand) as caught:
        async for _ in UrlFetcher().fetch(
            f"http://{host}/", max_bytes=1000, allowed_hosts=(), timeout_seconds=10.0
        ):
            pass
    sentence = rejection_text("en", caught.value)
    assert sentence.count(host.strip("[]")) == 1
    assert "media.allow_hosts" in sentence


async def test_nothing_is_even_connected_to():
    async with server(ok(b"secret")) as house:
        assert (await refused(house.url, allowed=()))[1] == "not_allowed"
        assert (await refused(house.url, allowed=("camera", "127.0.0.2", "localhost")))[1] == "not_allowed"
        assert house.requests == []


@pytest.mark.parametrize("answer", ["127.0.0.1", "1.1.1.1 127.0.0.1", "::1", "1.1.1.1 ::ffff:10.0.0.1"])
async def test_a_name_that_leads_into_the_house_is_refused_also_if_only_one_of_its_addresses_does(answer):
    fetcher = UrlFetcher(resolve=book(evil_example=answer))
    found = await refused("http://evil.example/", fetcher=fetcher, allowed=("127.0.0.1",))
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
            assert await refused(first.url) == (BadCommand, code, word)
        assert secret.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(status):
    async with server(ok(b"picture")) as last, server(leads(f"{last.url}/x", status)) as first:
        assert await fetch(first.url) == b"picture"


async def test_a_redirect_may_be_relative():
    async def script(head: bytes, writer: asyncio.StreamWriter) -> None:
        await (ok(b"picture") if b"GET /a/c " in head else leads("c"))(head, writer)

    async with server(script) as house:
        assert await fetch(f"{house.url}/a/b") == b"picture"


async def test_after_five_redirects_it_is_enough():
    count = 0

    async def script(head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await (ok(b"picture") if count > ends else leads("/again"))(head, writer)

    async with server(script) as house:
        ends = MAX_REDIRECTS
        assert await fetch(house.url) == b"picture"
        count, ends = 0, MAX_REDIRECTS + 1
        assert await refused(house.url) == (BadCommand, "fetch_failed", "fetch_hops")


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
async def test_what_is_no_http_address_is_refused(url):
    assert await refused(url) == (BadCommand, "bad_command", "fetch_bad_url")
    with pytest.raises(BadCommand):
        parse_url(url)


# servers that misbehave


async def test_an_endless_body_can_be_ended_and_an_announced_one_is_not_begun():
    async def endless(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    async with server(endless) as house:
        got = 0
        async with aclosing(
            UrlFetcher().fetch(house.url, max_bytes=10, allowed_hosts=HOME, timeout_seconds=SECONDS)
        ) as pieces:
            async for piece in pieces:
                got += len(piece)
                if got > 1_000_000:
                    break
    async with server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n")) as house:
        with pytest.raises(DeclaredSizeTooLarge):
            await fetch(house.url, limit=10)
    huge = b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 19 + b"\r\n\r\n"
    async with server(says(huge)) as house:
        with pytest.raises((DeclaredSizeTooLarge, TransferBroken)):
            await fetch(house.url)


async def test_chunks_of_one_byte_are_handed_on_in_large_pieces_and_let_others_run():
    """What follows handles each piece: half a second without a turn of the loop, and the square of the head."""
    size = 150_000
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * size + b"0\r\n\r\n"
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with server(says(chunked)) as house:
        # On a busy machine the reading of so many chunks is slow, not the server.
        fetcher = UrlFetcher(minimum_rate=MinimumRate(window_seconds=MAX_WAIT_SECONDS))
        it = fetcher.fetch(house.url, max_bytes=size, allowed_hosts=HOME, timeout_seconds=MAX_WAIT_SECONDS)
        async with aclosing(it):
            first = await anext(it)
            others = asyncio.create_task(count_turns())
            rest = [piece async for piece in it]
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
async def test_an_answer_that_ends_too_early_is_no_file(answer):
    async with server(says(answer)) as house:
        assert await refused(house.url) == BROKEN


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\xff" * 70_000]
)
async def test_what_is_no_http_is_no_file(answer):
    async with server(says(answer)) as house:
        assert await refused(house.url) == (TransferBroken, "fetch_failed", "fetch_no_answer")


async def drips(_head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await _drip(writer)


async def _drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def drips_its_head(_head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    await _drip(writer)


async def is_silent(_head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
    await writer.drain()
    await asyncio.sleep(SECONDS)


async def test_a_drip_is_ended():
    async with server(drips) as house:
        fetcher = UrlFetcher(minimum_rate=MinimumRate(window_seconds=0.3, min_bytes=1000))
        assert await refused(house.url, fetcher=fetcher) == (BadCommand, "fetch_failed", "fetch_too_slow")


async def test_silence_is_ended():
    async with server(is_silent) as house:
        found = await refused(house.url, fetcher=UrlFetcher(idle_timeout=0.2))
        assert found == (BadCommand, "fetch_failed", "fetch_too_slow")


async def test_a_head_that_drips_is_ended(monkeypatch):
    monkeypatch.setattr(url_fetch, "RESPONSE_TIMEOUT_SECONDS", 0.3)
    async with server(drips_its_head) as house:
        assert await refused(house.url) == (TransferBroken, "fetch_failed", "fetch_no_answer")


@pytest.mark.parametrize("script", [drips, drips_its_head, is_silent])
async def test_all_of_it_has_its_time(script):
    async with server(script) as house:
        assert (await refused(house.url, seconds=0.3))[1:] == ("fetch_failed", "fetch_too_slow")


async def test_a_slow_disk_is_not_taken_for_a_slow_server():
    async with server(ok(bytes(200_000))) as house:
        fetcher, got = UrlFetcher(minimum_rate=MinimumRate(window_seconds=0.5, min_bytes=150_000)), 0
        async with aclosing(
            fetcher.fetch(house.url, max_bytes=10**6, allowed_hosts=HOME, timeout_seconds=SECONDS)
        ) as pieces:
            async for piece in pieces:
                if not got:
                    await asyncio.sleep(0.8)
                got += len(piece)
        assert got == 200_000


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
async def test_an_answer_that_is_no_file_says_whether_to_come_again(status, kind):
    async with server(says(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())) as house:
        assert await refused(house.url) == (kind, "fetch_failed", "fetch_status")


async def test_what_is_compressed_unasked_is_no_file():
    async with server(ok(b"x", b"Content-Encoding: gzip")) as house:
        assert await refused(house.url) == (BadCommand, "fetch_failed", "fetch_packed")


async def test_nobody_there_may_be_there_later_and_a_name_that_is_unknown_hardly():
    async with server(ok(b"")) as house:
        gone = house.url
    assert await refused(gone) == (TemporarilyUnavailable, "fetch_failed", "fetch_no_connection")
    assert await refused("http://nowhere.invalid/") == (TransferBroken, "fetch_failed", "fetch_no_name")
    assert await refused(f"http://{'a' * 70}.b/") == (TransferBroken, "fetch_failed", "fetch_no_name")


async def test_where_one_address_is_dead_the_next_one_is_tried():
    async with server(ok(b"picture")) as house:
        port = house.url.rpartition(":")[2]
        fetcher = UrlFetcher(resolve=book(two_homes="127.0.0.9 127.0.0.1"))
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
