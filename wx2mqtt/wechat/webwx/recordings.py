"""Messages that are bytes: pictures, voices, videos, stickers (webwx 3.2, 3.7).

Sizes are those that were announced. The width and height in an entry are those of the thumbnail, and are
left out.
"""

from __future__ import annotations

import re

from wx2mqtt.model import Kind
from wx2mqtt.wechat.fields import Entry, number
from wx2mqtt.wechat.webwx.content import Content, facts
from wx2mqtt.wechat.webwx.locators import Call, of_message
from wx2mqtt.wechat.webwx.words import outcome, placeholder
from wx2mqtt.words import Language

# Numbers are wanted of XML that stands here escaped or not, or of a token: parsing would cost several times
# as much, and these are most of what people send besides texts. They begin with a blank, which is found fast.
_QUOTE = '(?:"|&quot;)'
_NUMBER = rf" %s\s*=\s*{_QUOTE}(\d{{1,9}})\b"
_LENGTH, _PLAYED, _SPOKEN = (
    re.compile(_NUMBER % name, re.ASCII) for name in ("length", "playlength", "voicelength")
)
_WIDTH, _HEIGHT, _LEN = (re.compile(_NUMBER % name, re.ASCII) for name in ("width", "height", "len"))
_GAME = re.compile(
    rf"gameext\s+type\s*=\s*{_QUOTE}(\d{{1,9}}){_QUOTE}\s+content\s*=\s*{_QUOTE}(\d{{1,9}})\b", re.ASCII
)

# `gameext` as clients write it: the game by its type, and the number that stands for its first result. The
# reference leaves open which number means what (webwx 3.2).
_GAMES: dict[int, tuple[str, int]] = {1: ("rock_paper_scissors", 1), 2: ("dice", 4)}
_RESULTS: dict[str, tuple[str, ...]] = {
    "rock_paper_scissors": ("scissors", "rock", "paper"),
    "dice": ("1", "2", "3", "4", "5", "6"),
}


def image(entry: Entry, content: str, language: Language) -> Content:
    """The addresses in its XML cannot be reached from the web, only its id is of use (webwx 3.7)."""
    return Content(
        kind=Kind.IMAGE,
        text=placeholder(language, Kind.IMAGE),
        media=of_message(entry, Call.IMAGE, size=_first(_LENGTH, content)),
        thumbnail=of_message(entry, Call.THUMBNAIL),
    )


def voice(entry: Entry, content: str, language: Language) -> Content:
    """MP3, whatever the phone recorded; the size that is announced is the recording's (webwx 2.16)."""
    milliseconds = max(0, number(entry, "VoiceLength")) or _first(_SPOKEN, content)
    return Content(
        kind=Kind.VOICE,
        text=placeholder(language, Kind.VOICE),
        detail=facts(duration=milliseconds / 1000 or None),
        media=of_message(entry, Call.VOICE, mime="audio/mpeg"),
    )


def video(entry: Entry, content: str, language: Language) -> Content:
    """A video, or a micro video."""
    seconds = max(0, number(entry, "PlayLength")) or _first(_PLAYED, content)
    return Content(
        kind=Kind.VIDEO,
        text=placeholder(language, Kind.VIDEO),
        detail=facts(duration=seconds or None),
        media=of_message(entry, Call.VIDEO, mime="video/mp4", size=_first(_LENGTH, content)),
        thumbnail=of_message(entry, Call.THUMBNAIL),
    )


def sticker(entry: Entry, content: str, language: Language) -> Content:
    """A sticker, dice and rock-paper-scissors among them.

    Of those from the store the web gets nothing at all (webwx 2.16).
    """
    from_store = number(entry, "HasProductId") != 0 and not content
    game, result = _game(content)
    return Content(
        kind=Kind.STICKER,
        text=placeholder(language, Kind.STICKER, outcome(language, game, result)),
        detail=facts(
            width=_first(_WIDTH, content) or None,
            height=_first(_HEIGHT, content) or None,
            game=game,
            result=result,
        ),
        media=None if from_store else of_message(entry, Call.STICKER, size=_first(_LEN, content)),
    )


def _game(content: str) -> tuple[str, str]:
    """The name of a game and its result; empty where there is none or it is not known."""
    found = _GAME.search(content)
    name, first = _GAMES.get(int(found[1]), ("", 0)) if found else ("", 0)
    results = _RESULTS.get(name, ())
    place = int(found[2]) - first if found else -1
    return name, results[place] if 0 <= place < len(results) else ""


def _first(pattern: re.Pattern[str], content: str) -> int:
    found = pattern.search(content)
    return int(found[1]) if found else 0
