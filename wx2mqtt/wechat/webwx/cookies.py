"""The cookies of one login, as a value: what each answer sets, what each host is sent (webwx 2.4.2).

Kept without paths (all are `/`) and without their dates: the server renews them with each sync and is the
judge of their age, while our clock may be wrong. Only an order to delete is obeyed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

ANYWHERE = ""  # the domain of cookies when one address serves every host

_Key = tuple[str, str]  # domain, name


@dataclass(frozen=True, slots=True, repr=False)
class Cookies:
    """Values by (domain, name). A domain that begins with a dot is good for all hosts below it.

    `anywhere` is for an address of one's own that stands for every host: any domain is accepted, and sent
    to it.
    """

    values: Mapping[_Key, str]
    anywhere: bool = False

    @classmethod
    def none(cls, *, anywhere: bool) -> Cookies:
        """No cookies yet."""
        return cls({}, anywhere)

    def after(self, host: str, lines: Iterable[str], now: float) -> Cookies:
        """With the `Set-Cookie` lines of an answer from `host`; `now` is the server's time."""
        values = dict(self.values)
        for line in lines:
            self._take(values, host, line, now)
        return self if values == self.values else Cookies(values, self.anywhere)

    def header(self, host: str) -> str:
        """What `host` is sent; empty when there is none."""
        return "; ".join(f"{name}={value}" for name, value in self.for_host(host).items())

    def for_host(self, host: str) -> dict[str, str]:
        """Names and values that `host` may see; of two with one name the narrower domain wins."""
        fitting = [key for key in self.values if self.anywhere or _covers(key[0], host)]
        fitting.sort(key=lambda key: len(key[0]))
        return {name: self.values[domain, name] for domain, name in fitting}

    def value(self, name: str) -> str:
        """The value of a cookie of whatever domain."""
        return next((value for (_, known), value in self.values.items() if known == name), "")

    def saved(self) -> list[list[str]]:
        """As JSON can hold it."""
        return [[domain, name, value] for (domain, name), value in self.values.items()]

    @classmethod
    def from_saved(cls, rows: object, *, anywhere: bool) -> Cookies:
        """What `saved` made; rows that cannot be read are left out."""
        good = [row for row in rows if _is_row(row)] if isinstance(rows, list) else []
        return cls({(domain, name): value for domain, name, value in good}, anywhere)

    def _take(self, values: dict[_Key, str], host: str, line: str, now: float) -> None:
        pair, *attributes = line.split(";")
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not name or not _sendable(name + value):
            return
        facts = {key.strip().lower(): fact.strip() for key, _, fact in (a.partition("=") for a in attributes)}
        domain = ANYWHERE if self.anywhere else _domain(host, facts.get("domain", ""))
        if domain is None:
            return
        if _is_over(facts, now):
            values.pop((domain, name), None)
        else:
            values[domain, name] = value


def _domain(host: str, asked: str) -> str | None:
    """The domain under which a cookie is kept; None when the host may not set it there."""
    bare = asked.strip(".").lower()
    if not bare:
        return host
    allowed = "." in bare and (host == bare or host.endswith(f".{bare}"))
    return f".{bare}" if allowed else None


def _covers(domain: str, host: str) -> bool:
    return domain == host or (domain.startswith(".") and (host == domain[1:] or host.endswith(domain)))


def _is_over(facts: Mapping[str, str], now: float) -> bool:
    age = facts.get("max-age", "")
    if age.lstrip("-").isdigit():
        return age.startswith("-") or age.strip("0") == ""
    expires = facts.get("expires", "")
    return bool(expires) and _seconds(expires) <= now


def _seconds(date: str) -> float:
    """A date of HTTP as seconds since 1970; one that cannot be read is far away."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError, IndexError):
        return float("inf")


def _sendable(part: str) -> bool:
    return part.isascii() and part.isprintable()


def _is_row(row: object) -> bool:
    return isinstance(row, list) and len(row) == 3 and all(isinstance(part, str) for part in row)
