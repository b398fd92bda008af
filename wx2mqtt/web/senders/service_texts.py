"""Makes the text of a message from what other services have in several fields. Pure.

    title "Backup", message "done", link "https://nas/"     Backup
                                                            done
                                                            https://nas/

WeChat has texts only: a title is the first line, and links are the last. Markdown becomes the text that a
reader of it would read.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping

from markdown_it import MarkdownIt

from wx2mqtt.bounded_json import JsonDecimal
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Json

# Longer markdown keeps its marks: it is no text for a phone. The parser takes 430 times the memory of what it
# reads, and for some texts a time that grows with the square of their size.
MAX_MARKDOWN_CHARACTERS = 8192

# "## ", and <font color="info">, which the WeCom robot allows.
_HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)
_FONT = re.compile(r"</?font\b[^<>\n]{0,100}>")


def joined_text(*lines: str, links: Iterable[str] = ()) -> str:
    """Returns the lines that are not blank, then each link that is not in them."""
    stripped = [line.strip("\r\n") for line in lines if line.strip()]
    text = "\n".join(stripped)
    words = {*text.split()}
    new_links = [link for link in dict.fromkeys(links) if link and link not in words]
    return "\n".join([*stripped, *new_links])


def plain_text_of(markdown: str) -> str:
    """Returns markdown as a person would write it: `**done** [log](https://a)` becomes `done log https://a`."""
    if len(markdown) > MAX_MARKDOWN_CHARACTERS:
        return markdown
    text = _HEADING.sub("", _FONT.sub("", markdown))
    (inline,) = _parser().parseInline(text)
    parts: list[str] = []
    #: The address of each open link, and where its text begins in `parts`.
    addresses: list[tuple[str, int]] = []
    for token in inline.children or ():
        if token.type == "link_open":
            addresses.append((str(token.attrs.get("href", "")), len(parts)))
        elif token.type == "link_close":
            address, start = addresses.pop()
            parts.append(_address_behind("".join(parts[start:]), address))
        elif token.type == "image":
            parts.append(token.content + _address_behind(token.content, str(token.attrs.get("src", ""))))
        else:
            parts.append(token.content)
    return "".join(parts)


def _address_behind(text: str, address: str) -> str:
    if not address or text == address:
        return ""
    return f" {address}" if text else address


@functools.cache
def _parser() -> MarkdownIt:
    return MarkdownIt("zero").enable(["link", "image", "emphasis", "backticks", "escape"])


def text_value(fields: Mapping[str, Json], key: str) -> str:
    """Returns a text, also of a number; empty without one. Raises `BadCommand` for anything else."""
    value = fields.get(key)
    if value is None:
        return ""
    if isinstance(value, JsonDecimal):
        return value.text
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise BadCommand("bad_command", "bad_value", key=key, expected="a text")
    return value


def object_value(fields: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    """Returns an object; empty without one. Raises `BadCommand` for anything else."""
    value = fields.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadCommand("bad_command", "bad_value", key=key, expected="an object")
    return value


def required_text(text: str) -> str:
    """Returns a text that is not blank. Raises `BadCommand`."""
    if not text.strip():
        raise BadCommand("empty", "empty")
    return text
