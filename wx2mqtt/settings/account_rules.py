"""The rules for accounts: their names, base topics, and the people that the owner named (DESIGN 3, 4.1)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from wx2mqtt.settings import names
from wx2mqtt.settings.finding import Finding
from wx2mqtt.settings.schema import Account, Hold, ILink, Pin, Settings, WebWx

_ILINK_ONLY = frozenset({"ilink", "owner"})
PIN_KINDS = ", ".join(Pin.model_fields)


def account_findings(name: str, account: Account) -> Iterator[Finding]:
    """What is wrong within one account."""
    path = ("accounts", name)
    if fault := names.account_fault(name):
        yield Finding(path, fault)
    yield from _of_the_other(path, account)
    yield from _pins((*path, "contacts"), account)
    if account.fallback.urls and find_spec("apprise") is None:
        why = "these need apprise, which is not installed: pip install 'wx2mqtt[fallback]'"
        yield Finding((*path, "fallback", "urls"), why, warning=True)
    desktop = account.webwx.desktop
    if (desktop.client_version is None) != (desktop.extspam is None):
        given = "extspam" if desktop.client_version is None else "client_version"
        yield Finding(
            (*path, "webwx", "desktop", given),
            "client_version and extspam belong together: give both or none",
        )


def base_topic_findings(settings: Settings) -> Iterator[Finding]:
    """No account's topics may meet another's, nor Home Assistant's."""
    bases = settings.base_topics()
    prefix = settings.homeassistant.prefix
    for place, (name, base) in enumerate(bases.items()):
        path = ("accounts", name, "base_topic")
        for other, taken in list(bases.items())[:place]:
            if names.within(base, taken) or names.within(taken, base):
                yield Finding(
                    path, f"'{base}' meets the topics of account {other} ('{taken}'); choose another"
                )
        if settings.homeassistant.enabled and f"{base}/".startswith(f"{prefix}/"):
            yield Finding(path, f"lies inside homeassistant.prefix ('{prefix}'); choose another")


def _pins(path: tuple[str, ...], account: Account) -> Iterator[Finding]:
    taken: dict[tuple[str, str], str] = {}
    for name, pin in account.contacts.items():
        here = (*path, name)
        if fault := names.level_fault(name):
            yield Finding(here, fault)
        if len(pin.facts) != 1:
            yield Finding(here, f"needs exactly one of {PIN_KINDS}; it has {len(pin.facts)}")
            continue
        kind = pin.facts[0][0]
        first = taken.setdefault(pin.facts[0], name)
        if first != name:
            yield Finding(here, f"names the same {kind} as '{first}'; keep one of the two")
        if account.backend == "webwx" and kind in _ILINK_ONLY:
            yield Finding(here, f"{kind} exists only on iLink; on webwx nobody will match", warning=True)
        if account.backend == "ilink" and kind not in _ILINK_ONLY:
            yield Finding(here, f"iLink tells no {kind}; write owner: true, or ilink: <id>", warning=True)


def _of_the_other(path: tuple[str, ...], account: Account) -> Iterator[Finding]:
    """What only the other backend knows has no effect here, or would refuse everybody."""
    expect = account.expect
    foreign = {"uin": expect.uin, "nickname": expect.nickname}
    other, is_set = "webwx", account.webwx != WebWx()
    if account.backend == "webwx":
        foreign, other, is_set = {"ilink": expect.ilink}, "ilink", account.ilink != ILink()
    for key, value in foreign.items():
        if value is not None:
            why = f"{account.backend} does not tell it, so everybody would be refused; take it away"
            yield Finding((*path, "expect", key), why)
    if account.backend == "webwx" and account.hold != Hold():
        yield Finding((*path, "hold"), "has no effect: only iLink has a window", warning=True)
    if is_set:
        yield Finding((*path, other), f"has no effect: the backend is {account.backend}", warning=True)
