"""A strict reader of `multipart/form-data`, written from the RFCs and not from the encoder under test."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TYPE = re.compile(r"multipart/form-data; boundary=([0-9A-Za-z'()+_,./:=?-]{1,70})")
_HEAD = re.compile(
    rb'Content-Disposition: form-data; name="([^"\r\n]*)"(?:; filename="([^"\r\n]*)")?'
    rb"(?:\r\nContent-Type: ([^\r\n]+))?"
)


@dataclass(frozen=True, slots=True)
class Field:
    """One part of a form."""

    name: str
    filename: str | None
    mime: str | None
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()


def read_form(content_type: str, body: bytes) -> list[Field]:
    """Returns the parts, in their order. Raises `AssertionError` for any deviation from the RFCs."""
    found = _TYPE.fullmatch(content_type)
    assert found, content_type
    line = b"--" + found[1].encode()
    assert body.startswith(line + b"\r\n")
    assert body.endswith(b"\r\n" + line + b"--\r\n")
    inner = body[len(line) + 2 : -len(line) - 6]
    return [_field(part) for part in inner.split(b"\r\n" + line + b"\r\n")]


def _field(part: bytes) -> Field:
    head, blank, content = part.partition(b"\r\n\r\n")
    assert blank
    found = _HEAD.fullmatch(head)
    assert found, head
    name, filename, mime = (None if group is None else group.decode() for group in found.groups())
    assert name is not None
    return Field(name, filename, mime, content)
