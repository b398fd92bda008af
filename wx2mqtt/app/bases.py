"""Which base topic each account has: what it first used, whoever comes and goes (DESIGN 4.1). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wx2mqtt.errors import Problem, SettingsError
from wx2mqtt.settings.names import within
from wx2mqtt.settings.schema import FIRST_BASE, Settings


def bases_of(settings: Settings, kept: Mapping[str, str | None], file: str) -> dict[str, str]:
    """By account, in the order of the file. `kept` are those that accounts used before.

    Raises `SettingsError` where a base that is written in the file meets one that another account has kept;
    `file` is named in it.
    """
    given = {name: account.base_topic or kept.get(name) for name, account in settings.accounts.items()}
    free = not any(base is not None and _meets(base, FIRST_BASE) for base in given.values())
    bases = {
        name: base or (FIRST_BASE if place == 0 and free else f"{FIRST_BASE}/{name}")
        for place, (name, base) in enumerate(given.items())
    }
    if problems := tuple(_meetings(bases, file)):
        raise SettingsError(problems)
    return bases


def _meetings(bases: Mapping[str, str], file: str) -> Iterator[Problem]:
    for place, (name, base) in enumerate(bases.items()):
        for other, taken in list(bases.items())[:place]:
            if _meets(base, taken):
                words = (
                    f"'{base}' meets '{taken}', which account {other} has; an account keeps the base that it "
                    f"first used, so write another base_topic for one of the two"
                )
                yield Problem(file, 0, f"accounts.{name}.base_topic", words)


def _meets(one: str, other: str) -> bool:
    return within(one, other) or within(other, one)
