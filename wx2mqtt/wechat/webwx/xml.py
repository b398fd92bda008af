"""XML from strangers: no DTD, bounded in size and number of elements; never an exception.

Without a DTD there are no entities to expand and no files or addresses to fetch. The parser of the standard
library in C is asked, since it costs half of what defusedxml's does, and most messages are XML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError, fromstring

from wx2mqtt.wechat.webwx.text import mended_xml, xml_of

LIMIT = 1 << 20  # characters; a forwarded history of a hundred messages has some 100,000
ELEMENTS = 20_000  # this also bounds the depth

# What may stand before a DTD; possessive, so that nothing is looked at twice.
_DTD = re.compile(r"\ufeff?(?>\s+|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)


class Node:
    """One element, or the absence of one: every question has an answer, a missing thing is empty."""

    __slots__ = ("_element",)

    def __init__(self, element: Element | None) -> None:
        self._element = element

    def __bool__(self) -> bool:
        return self._element is not None

    @property
    def tag(self) -> str:
        return "" if self._element is None else self._element.tag

    def at(self, path: str) -> Node:
        """The first element at a path of tags."""
        found = None if self._element is None else self._element.find(path)
        return NOTHING if found is None else Node(found)

    def text(self, path: str) -> str:
        """The text of the first element at a path."""
        found = None if self._element is None else self._element.findtext(path)
        return (found or "").strip()

    def attribute(self, key: str) -> str:
        """The value of an attribute."""
        return "" if self._element is None else self._element.get(key, "").strip()

    def each(self, path: str) -> Iterator[Node]:
        """All elements at a path."""
        return iter(()) if self._element is None else map(Node, self._element.iterfind(path))


NOTHING = Node(None)


def parse(content: str) -> Node:
    """The root of the XML in a message's content; `NOTHING` when it cannot be read."""
    if len(content) > LIMIT:
        return NOTHING
    return parse_plain(xml_of(content))


def parse_plain(source: str) -> Node:
    """The root of XML that is not escaped; `NOTHING` when it cannot be read."""
    if len(source) > LIMIT or not 0 < source.count("<") <= 2 * ELEMENTS:
        return NOTHING
    return _parsed(source) or _parsed(mended_xml(source))


def _parsed(source: str) -> Node:
    if "<!DOCTYPE" in source and _DTD.match(source):
        return NOTHING
    try:
        return Node(fromstring(source))  # noqa: S314
    # Besides the parser's own errors: characters that cannot be encoded.
    except (ParseError, ValueError):
        return NOTHING
