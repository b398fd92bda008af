"""The form of an upload, read as strictly as WeChat's file servers do (webwx 2.14). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BOUNDARY = re.compile(
    r'multipart/form-data;\s*(?:charset=[^;]+;\s*)?boundary="?([^";]{1,200})"?', re.IGNORECASE
)
_DISPOSITION = re.compile(r"content-disposition:\s*form-data(;.*)", re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([a-z]+\*?)=(?:"([^"]*)"|([^;\s]*))', re.IGNORECASE)


class BadForm(ValueError):
    """The body is no form that WeChat reads; says why, and repeats no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One field; `filename` is None where it is no file."""

    name: str
    filename: str | None
    content: bytes


def parse(content_type: str, body: bytes) -> dict[str, Part]:
    """The fields by name, in their order; raises `BadForm`."""
    found = _BOUNDARY.match(content_type)
    if found is None:
        raise BadForm("the body is no multipart/form-data")
    first, *parts = (b"\r\n" + body).split(b"\r\n--" + found[1].encode())
    if first or not parts or parts.pop().strip(b"\r\n") != b"--":
        raise BadForm("the form does not begin and end with its boundary")
    fields: dict[str, Part] = {}
    for part in map(_part, parts):
        if part.name in fields:
            raise BadForm("a field comes twice")
        fields[part.name] = part
    return fields


def _part(raw: bytes) -> Part:
    head, blank, content = raw.partition(b"\r\n\r\n")
    if not blank or not head.startswith(b"\r\n"):
        raise BadForm("a part has no head")
    parameters = _parameters(head[2:])
    if "filename*" in parameters:
        raise BadForm("filename* (RFC 2231); WeChat reads only filename in plain UTF-8")
    if "name" not in parameters:
        raise BadForm("a part has no name")
    return Part(name=parameters["name"], filename=parameters.get("filename"), content=content)


def _parameters(head: bytes) -> dict[str, str]:
    try:
        lines = head.decode().split("\r\n")
    except UnicodeDecodeError:
        raise BadForm("the head of a part is no UTF-8") from None
    found = [match[1] for line in lines if (match := _DISPOSITION.fullmatch(line))]
    if len(found) != 1:
        raise BadForm("a part has no Content-Disposition")
    return {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(found[0])}
