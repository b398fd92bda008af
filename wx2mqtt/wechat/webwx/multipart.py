"""`multipart/form-data` as a browser writes it: names in plain UTF-8, not as in RFC 2231 (webwx 2.14).

Pure; the same values give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Field = tuple[str, str]
"""Name and value of one field of a form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """The part of a form that holds bytes."""

    key: str
    name: str
    mime: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form, written out."""

    content_type: str
    body: bytes = field(repr=False)


def written(fields: Sequence[Field], file: FilePart, seed: str) -> Form:
    """The form of these fields, in this order, and the file last.

    `seed`, letters and digits, goes into the boundary, which occurs nowhere in what it separates.
    Raises `UnicodeEncodeError` for text that is no Unicode.
    """
    parts = [_disposition(name) + b"\r\n\r\n" + value.encode() for name, value in fields]
    head = _file_head(file)
    boundary = _boundary(seed, [*parts, head, file.content])
    line = b"--" + boundary
    before = b"".join(line + b"\r\n" + part + b"\r\n" for part in parts)
    body = b"".join((before, line, b"\r\n", head, b"\r\n\r\n", file.content, b"\r\n", line, b"--\r\n"))
    return Form(content_type=f"multipart/form-data; boundary={boundary.decode()}", body=body)


def _disposition(name: str) -> bytes:
    return f'Content-Disposition: form-data; name="{_quoted(name)}"'.encode()


def _file_head(file: FilePart) -> bytes:
    named = f'; filename="{_quoted(file.name)}"'.encode()
    return _disposition(file.key) + named + f"\r\nContent-Type: {file.mime}".encode()


def _quoted(text: str) -> str:
    """What would end a quoted text, as browsers encode it (HTML, multipart form data)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _boundary(seed: str, contents: Sequence[bytes]) -> bytes:
    boundary = f"----WebKitFormBoundary{seed}".encode()
    while any(boundary in content for content in contents):
        boundary += b"0"
    return boundary
