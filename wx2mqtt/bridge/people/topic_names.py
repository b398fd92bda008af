"""Makes topic names: chooses one of the names of a person, and cleans it.

    Lily/#1    ->  Lily__1, and Lily__1-2 for the next one who is called so
    $SYS/#     ->  _SYS__

A name may be anything: empty, emoji, characters that reverse the writing direction, 200 characters. Which
topic name is whose, `registry.py` knows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Literal

from wx2mqtt.bridge.text_split import is_within_character
from wx2mqtt.limits import MAX_CHOSEN_TOPIC_NAME_BYTES
from wx2mqtt.model import FILEHELPER, ChatKind
from wx2mqtt.names import composed
from wx2mqtt.store.person_records import Person

NameStyle = Literal["unicode", "pinyin"]

# The topic name of the account's owner when they have no name.
OWNER_TOPIC_NAME = "owner"

# The topic names of those who have no name, by their kind.
_FALLBACK = {
    ChatKind.FRIEND: "friend",
    ChatKind.GROUP: "group",
    ChatKind.OFFICIAL: "account",
    ChatKind.SYSTEM: "account",
    ChatKind.SELF: "self",
}


def topic_name_candidates(person: Person, *, is_owner: bool) -> tuple[str, ...]:
    """Returns the names of a person, best first; any may be empty. The first that is usable counts."""
    return (person.remark, person.nickname, OWNER_TOPIC_NAME if is_owner else "")


def unique_topic_name(
    names: Iterable[str],
    kind: ChatKind,
    style: NameStyle,
    is_taken: Callable[[str], bool],
    hints: dict[str, int],
) -> str:
    """Returns the first of `base`, `base-2`, `base-3`, … for which `is_taken` is false.

    `base` is made from the first of the names of which something is left. `hints` stores, for each base and
    number of digits, the first number that may be free, so that thousands of equal names need no search each.
    """
    base = base_topic_name(names, kind, style)
    topic_name = numbered_topic_name(base, 1)
    if not is_taken(topic_name):
        return topic_name
    for digits in count(1):
        lowest, end = max(2, 10 ** (digits - 1)), 10**digits
        # Not the base itself is the key: long names are cut to make room for the digits, and so names that
        # differ only at their end get the same numbered topic names.
        key = numbered_topic_name(base, lowest)
        number = hints.get(key, lowest)
        while number < end and is_taken(numbered_topic_name(base, number)):
            number += 1
        hints[key] = number
        if number < end:
            return numbered_topic_name(base, number)
    raise AssertionError("numbers never end")


def base_topic_name(names: Iterable[str], kind: ChatKind, style: NameStyle) -> str:
    """Returns the topic name before a number makes it unique; never empty."""
    make = _in_pinyin if style == "pinyin" else clean_topic_name
    usable = next(filter(None, map(make, names)), _FALLBACK[kind])
    return cut_topic_name(usable, MAX_CHOSEN_TOPIC_NAME_BYTES)


def numbered_topic_name(base: str, number: int) -> str:
    """Returns `base`, or `base-2` and so on; only the file helper is called `filehelper`."""
    if base == FILEHELPER:
        number += 1
    suffix = "" if number == 1 else f"-{number}"
    return cut_topic_name(base, MAX_CHOSEN_TOPIC_NAME_BYTES - len(suffix)) + suffix


# Some MQTT servers and bridges interpret these characters.
_REPLACED = frozenset("/+#.*>$")

# Unicode categories of what nobody sees: controls, direction marks, surrogates, unassigned characters.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Cn"})

# Letters by their category that nobody sees either.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")

# The zero-width joiner makes one emoji of several, as a family of three persons.
_JOINER = "\u200d"


def clean_topic_name(name: str) -> str:
    """Returns `name` as one topic name in NFC, without a limit of length; empty when nothing is left."""
    name = composed(name)
    if name.isalnum() and _BLANK.isdisjoint(name):  # most names, of which a login may bring thousands
        return name
    visible = "".join(_visible(name))
    # Removing marks may put an accent next to its letter, so the text is normalised again.
    visible = composed(visible).strip()
    return "".join("_" if mark in _REPLACED or mark == " " else mark for mark in visible)


def cut_topic_name(topic_name: str, limit: int) -> str:
    """Returns the start of a topic name in at most `limit` bytes of UTF-8; splits no visible character."""
    if len(topic_name.encode()) <= limit:
        return topic_name
    start = topic_name.encode()[:limit].decode(errors="ignore")
    end = len(start)
    while is_within_character(topic_name, 0, end):
        end -= 1
    return topic_name[:end] or start


def _visible(name: str) -> Iterator[str]:
    """Yields the visible characters, and invisible marks only within an emoji.

    Elsewhere an invisible mark would make two different names look alike.
    """
    is_after_emoji = False
    for index, mark in enumerate(name):
        if mark in _BLANK or mark.isspace():
            is_after_emoji = False
            yield " "
        elif mark == _JOINER:
            if is_after_emoji and _is_picture(name[index + 1 : index + 2]):
                yield mark
        elif "\ufe00" <= mark <= "\ufe0f" or "\U000e0100" <= mark <= "\U000e01ef":  # variation selectors
            if is_after_emoji:
                yield mark
        elif unicodedata.category(mark) not in _INVISIBLE:
            is_after_emoji = _is_picture(mark)
            yield mark


def _is_picture(mark: str) -> bool:
    return bool(mark) and mark not in _REPLACED and unicodedata.category(mark) in {"So", "Sk", "Sm"}


_HAN_PATTERN = re.compile("[〇\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")

# The library anyascii knows characters one by one. Here it differs from what a Chinese keyboard asks for.
_CHARACTERS_BY_READING = (
    "lv=侣侶儢勴吕呂垏寽屡屢履嵂律慮挔捋捛旅梠榈櫖櫚氀氯滤濾焒爈率祣稆穞穭箻絽"
    "綠緑縷繂绿缕膂膐膟膢葎藘虑褛褸郘鋁鑢铝閭闾馿驢驴鷜 "
    "lve=圙掠擽略畧稤鋝鋢锊 nv=女恧朒沑籹衂衄釹钕 nve=疟瘧硸虐 ling=〇 "
    "di=地 ju=桔 ke=咳 pu=埔 shui=谁誰 shi=似 tuo=拓 zai=仔 can=掺 gui=傀炔 le=肋 lao=潦 nian=辗 chui=椎"
)
_CHARACTER_READINGS = {
    mark: reading
    for reading, marks in (entry.split("=") for entry in _CHARACTERS_BY_READING.split())
    for mark in marks
}

# Words of names in which a character is read otherwise than alone.
_WORDS = (
    "重庆=chongqing 长沙=changsha 长春=changchun 长江=changjiang 长城=changcheng "
    "长安=changan 厦门=xiamen 番禺=panyu 六安=luan 铅山=yanshan 东阿=donge 成都=chengdu "
    "西藏=xizang 朝阳=zhaoyang 重阳=chongyang 都市=dushi 尉迟=yuchi 万俟=moqi "
    "亲家=qingjia 音乐=yinyue 乐队=yuedui 银行=yinhang 行长=hangzhang 商行=shanghang "
    "同行=tonghang 会计=kuaiji 空调=kongtiao 角色=juese 内行=neihang 调料=tiaoliao "
    "调味=tiaowei 协调=xietiao 畜牧=xumu 的士=dishi 校对=jiaodui 出差=chuchai 着急=zhaoji"
)
_WORD_READINGS = dict(entry.split("=") for entry in _WORDS.split())
_WORD_PATTERN = re.compile("|".join(_WORD_READINGS))


def _in_pinyin(name: str) -> str:
    """Returns `name` in the letters a-z, digits, `_` and `-`; empty when nothing can be transcribed."""
    cleaned = _WORD_PATTERN.sub(lambda word: _WORD_READINGS[word.group()], clean_topic_name(name))
    spelled = unicodedata.normalize("NFKD", _HAN_PATTERN.sub(lambda mark: _reading(mark.group()), cleaned))
    return "".join(mark for mark in spelled.lower() if mark.isascii() and (mark.isalnum() or mark in "_-"))


def _reading(mark: str) -> str:
    """Returns the pinyin of a Chinese character without tones; ü is written v, as on a keyboard."""
    from anyascii import anyascii  # noqa: PLC0415 - loaded only for accounts with `topic_names: pinyin`

    return _CHARACTER_READINGS.get(mark) or anyascii(mark)
