"""The cookies of a login, and which of them each host gets (webwx 2.4.2).

    cookies = Cookies({}).with_response("wx.qq.com", ["wxuin=7; Domain=.wx.qq.com; Path=/"], now)
    cookies.for_host("file.wx.qq.com")            {"wxuin": "7"}

They have no paths (all are `/`) and no expiry dates: the server renews them with each sync and checks their
age itself, while the local clock may be wrong. A cookie that the server expires is removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from wx2mqtt.clock import parse_http_date
from wx2mqtt.values import frozen

# What stands for the host of each call when one configured endpoint serves all hosts. It takes the cookies of
# every domain, and gets all of them.
ENDPOINT_HOST = ""

# As many cookies as browsers take, and as long ones: all are sent with each call and saved with the login.
MAX_COOKIES = 180
MAX_COOKIE_CHARACTERS = 4096

# An HTTP date has 29 characters; the parser takes thirty times the size of a longer text.
MAX_DATE_CHARACTERS = 100

# `; Domain=wx.qq.com` behind the value in a `Set-Cookie` line, in lower case
_ATTRIBUTE = re.compile(r";\s*(domain|max-age|expires)\s*=([^;]*)")


@frozen(kw_only=False, repr=False)
class Cookies:
    """Immutable cookies."""

    #: The values by domain and name. A domain that begins with a dot includes all hosts below it.
    values: Mapping[tuple[str, str], str]

    def with_response(self, host: str, set_cookie_lines: Iterable[str], now: float) -> Cookies:
        """Returns the cookies after `Set-Cookie` lines of `host`; `now` is the server's time in seconds.

        Leaves out what could not be sent back, or is for a domain that the host must not set.
        """
        values = dict(self.values)
        for line in set_cookie_lines:
            pair = line.partition(";")[0]
            name, equals, value = map(str.strip, pair.partition("="))
            is_printable_ascii = (name + value).isascii() and (name + value).isprintable()
            if not name or not equals or not is_printable_ascii or len(pair) > MAX_COOKIE_CHARACTERS:
                continue
            attributes = dict(_ATTRIBUTE.findall(line.lower()))
            domain = _domain(host, attributes.get("domain", ""))
            if domain is None:
                continue
            if _is_expired(attributes, now):
                values.pop((domain, name), None)
            elif (domain, name) in values or len(values) < MAX_COOKIES:
                values[domain, name] = value
        return self if values == self.values else Cookies(values)

    def for_host(self, host: str) -> dict[str, str]:
        """Returns names and values for `host`; of several with the same name the longest domain wins."""
        values: dict[str, str] = {}
        domains: dict[str, str] = {}
        for (domain, name), value in self.values.items():
            if _covers(domain, host) and len(domain) >= len(domains.get(name, "")):
                domains[name] = domain
                values[name] = value
        return values

    def value(self, name: str) -> str:
        """Returns the value of a cookie of any domain; empty when there is none."""
        return next((value for (_, known), value in self.values.items() if known == name), "")

    def to_saved(self) -> list[list[str]]:
        """Returns rows of domain, name and value for JSON."""
        return [[domain, name, value] for (domain, name), value in self.values.items()]

    @classmethod
    def from_saved(cls, rows: object) -> Cookies:
        """Reads the rows of `to_saved`; rows of another form are left out."""
        values = {}
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, list) and len(row) == 3 and all(isinstance(part, str) for part in row):
                domain, name, value = row
                values[domain, name] = value
        return cls(values)


def _domain(host: str, requested: str) -> str | None:
    """Returns the domain to store a cookie under, or None when the host must not set it for that domain."""
    bare = requested.strip().strip(".")
    if not bare or host == ENDPOINT_HOST:
        return host
    is_allowed = "." in bare and (host == bare or host.endswith(f".{bare}"))
    return f".{bare}" if is_allowed else None


def _covers(domain: str, host: str) -> bool:
    """Returns whether a cookie of this domain goes to a host; `.qq.com` covers `qq.com` and all below it."""
    if domain.startswith("."):
        return host == domain[1:] or host.endswith(domain)
    return host == domain


def _is_expired(attributes: Mapping[str, str], now: float) -> bool:
    """Returns whether the server removes a cookie: by a `max-age` of at most 0, else by `expires`."""
    age = attributes.get("max-age", "").strip()
    if age.lstrip("-").isdigit():
        return age.startswith("-") or age.strip("0") == ""
    expires = attributes.get("expires", "").strip()
    if len(expires) > MAX_DATE_CHARACTERS:
        return False
    seconds = parse_http_date(expires)
    return seconds is not None and seconds <= now
