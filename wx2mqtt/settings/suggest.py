"""Which key somebody probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from wx2mqtt.settings.shape import KeyPath, children, locate, walk

FEW = 3


def suggest(path: KeyPath) -> tuple[KeyPath, ...]:
    """The paths of keys that exist and resemble this one; none when nothing does.

    First among the neighbours, then the same name elsewhere (`password` instead of `mqtt.password`).
    """
    above = _mended(path[:-1])
    name = str(path[-1])
    if close := closest(name, children(above)):
        return ((*above, close),)
    homes = [known for known, _ in walk() if known[-1] == name]
    return tuple(homes) if len(homes) <= FEW else ()


def closest(word: str, words: Iterable[str]) -> str:
    """The one of `words` that resembles most, or the empty text."""
    return next(iter(get_close_matches(word.lower().replace("-", "_"), list(words), n=1, cutoff=0.6)), "")


def _mended(path: KeyPath) -> KeyPath:
    """The same path with each unknown part replaced by its nearest neighbour, where there is one."""
    mended: KeyPath = ()
    for part in path:
        known = children(mended)
        mended = (*mended, part if locate((*mended, part)) else closest(str(part), known) or part)
    return mended
