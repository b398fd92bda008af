"""Calls of senders over HTTP: forms in pieces, tokens, and whom a call names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from tests.fuzz.mutators import grown, mutated
from tests.fuzz.target import Target
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Blob
from wx2mqtt.web.options import SenderOptions
from wx2mqtt.web.senders.interface import MAX_FORM_FIELDS
from wx2mqtt.web.senders.multipart import MultipartBody
from wx2mqtt.web.senders.sender_rights import SenderRegistry, find_recipient, may_send

_LOOP = asyncio.new_event_loop()
_SENDER = SenderOptions(name="nas", token="t" * 32, to="me", users=("me", "n*"), rate=0)


def _run_form(data: bytes) -> None:
    """Reads a form: the first line is the content type, the rest the body, in pieces of different sizes."""
    content_type, _, body = data.partition(b"\n")
    for size in (1000, 7):
        held: list[int] = []
        with suppress(BadCommand):
            form = MultipartBody(content_type.decode("latin-1"), _pieces(body, size), 500, held.append)
            read = _LOOP.run_until_complete(form.read(_store))
            assert len(read.fields) <= MAX_FORM_FIELDS
            assert sum(held) <= 500
            assert sum(len(value.encode()) for value in read.fields.values()) <= 500


async def _pieces(body: bytes, size: int) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def _store(pieces: AsyncGenerator[bytes, None]) -> Blob:
    size = 0
    async for piece in pieces:
        size += len(piece)
    return Blob(sha256="ab", size=size, mime="image/png", path="ab")


def _run_caller(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    registry = SenderRegistry(lambda: 0.0)
    registry.set_senders([_SENDER])
    assert registry.authenticate(text, text[:100]).sender is None or text == _SENDER.token
    recipient = find_recipient(text, _SENDER, "home")
    assert "/" not in recipient.user
    if may_send(_SENDER, recipient, "home"):
        assert recipient.account == "home"
        assert recipient.user == "me" or recipient.user.startswith("n")


_FORMS = (
    b'multipart/form-data; boundary=x\n--x\r\nContent-Disposition: form-data; name="text"\r\n\r\nhome\r\n--x--\r\n',
    (
        b'multipart/form-data; boundary="a b"\n--a b\r\nContent-Disposition: form-data; name="file"; filename="d.png"'
        b"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n--a b--\r\n"
    ),
)
_FORM_WORDS = (
    "\r\n",
    "--x",
    "--x--",
    "name=",
    "filename=",
    '"',
    ";",
    "Content-Disposition: form-data; ",
    "boundary=",
)

TARGETS = (
    Target(
        name="web.sender_forms",
        run=_run_form,
        parsers=("web.senders.multipart:MultipartBody.read",),
        seeds=_FORMS,
        generate=mutated(_FORMS, _FORM_WORDS),
        grow=grown(_FORMS, _FORM_WORDS),
        cost_factor=60.0,  # a body in pieces of seven bytes
        memory_factor=8.0,
    ),
    Target(
        name="web.sender_names",
        run=_run_caller,
        parsers=(
            "web.senders.sender_rights:SenderRegistry.authenticate",
            "web.senders.sender_rights:find_recipient",
            "web.senders.sender_rights:may_send",
        ),
        seeds=(b"home/me", b"nobody", b"office/n1", "home/caf\u00e9".encode(), _SENDER.token.encode()),
        generate=mutated((b"home/me", b"nobody", b"office/n1"), ("/", "*", "[", "n", "..")),
        grow=grown((b"home/me", b"n"), ("/", "n", "*")),
        memory_factor=40.0,  # NFC holds 80 bytes of each character meanwhile; the head of a call has 32 KiB
    ),
)
