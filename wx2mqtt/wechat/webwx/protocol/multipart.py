"""Encodes forms as `multipart/form-data` the way browsers do.

Names are plain UTF-8 and not encoded as in RFC 2231, which WeChat does not understand (webwx 2.14.8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from wx2mqtt.values import frozen

# Name and value of a field in a form.
FormField = tuple[str, str]


@frozen
class FilePart:
    """The part of a form that holds a file."""

    #: The name of its field.
    key: str
    #: The file name.
    name: str
    mime: str
    content: bytes = field(repr=False)


@frozen
class MultipartForm:
    """An encoded form."""

    content_type: str
    body: bytes = field(repr=False)


def encode_form(fields: Sequence[FormField], file: FilePart, seed: str) -> MultipartForm:
    """Encodes the fields in their order, followed by the file.

    `seed`, of letters and digits, becomes part of the boundary, which is extended until it occurs in no part.
    Raises `UnicodeEncodeError` for a text with lone surrogates.
    """
    parts = [_disposition(name) + b"\r\n\r\n" + value.encode() for name, value in fields]
    filename = f'; filename="{_escape(file.name)}"\r\nContent-Type: {file.mime}'
    head = _disposition(file.key) + filename.encode()
    boundary = f"----WebKitFormBoundary{seed}".encode()
    while any(boundary in content for content in (*parts, head, file.content)):
        boundary += b"0"
    line = b"--" + boundary
    before = b"".join(line + b"\r\n" + part + b"\r\n" for part in parts)
    body = b"".join((before, line, b"\r\n", head, b"\r\n\r\n", file.content, b"\r\n", line, b"--\r\n"))
    return MultipartForm(content_type=f"multipart/form-data; boundary={boundary.decode()}", body=body)


def _disposition(name: str) -> bytes:
    return f'Content-Disposition: form-data; name="{_escape(name)}"'.encode()


def _escape(text: str) -> str:
    """Encodes the characters that would end a quoted text, as browsers do (HTML, multipart form data)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
