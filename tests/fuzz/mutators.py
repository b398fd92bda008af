"""Makes inputs out of valid ones: at the level of bytes, of JSON values and of XML, and large ones by repeating.

Everything takes its choices from a `Random`. Half of the mutations know the structure: what breaks a format at
once reaches only the first lines of its parser.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from tests.fuzz.oracles import LARGE_BYTES
from tests.fuzz.target import Generate

MAX_SMALL_BYTES = 4000

HOSTILE_TEXTS = (
    *(
        "",
        " ",
        "\n",
        "\r\n",
        "\t",
        "\0",
        "\x1b[2J",
        "\u2028",
        "\ufeff",
        "\u202e",
        "\u200d",
        "\u00a0",
        "\u2005",
        "\u0301\u0327",
    ),
    *(
        "0",
        "1",
        "-1",
        "00",
        "+1",
        "1e9",
        "1e400",
        "9" * 20,
        "9" * 25,
        "0x1",
        "1_000",
        "٣",
        "²",
        "NaN",
        "Infinity",
    ),
    *(
        "true",
        "null",
        "[]",
        "{}",
        "{",
        "}",
        "[",
        "]",
        '"',
        "'",
        "\\",
        "\\u0000",
        "\\ud800",
        "%",
        "%00",
        "%2f",
    ),
    *("/", "+", "#", "$", "..", "../x", "/etc/passwd", "$SYS/x", "a/b", "\u0301", "e\u0301", "ß", "İ", "ﷺ"),
    *(
        "<",
        ">",
        "&",
        "&amp;",
        "&lt;",
        "&#0;",
        "&#x10ffff;",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<?xml?>",
        "<br/>",
    ),
    *(
        "<!DOCTYPE x>",
        '<span class="emoji emoji1f604"></span>',
        "@",
        "@@",
        "@x",
        "@chatroom",
        "filehelper",
        "gh_x",
    ),
    *(
        "被",
        "移出",
        "邀请",
        "加入了群聊",
        "、",
        "，",
        "“",
        "”",
        "你",
        "You",
        "￥1.00",
        "老婆",
        "👨‍👩‍👧",
        "🇩🇪",
        "😀",
        "é",
    ),
    *(
        ":",
        ";",
        ",",
        "=",
        "==",
        "?",
        "://",
        "http://",
        "https://xn--)/",
        "https://[::1]:99999/",
        "http://a@b:1/#x",
    ),
    *("wss://", "unix:///x", "Basic ", "Bearer x", "text/plain", "application/json", "é" * 40, "a" * 100),
)
_INTERESTING_BYTES = b"\0\x01\x7f\x80\xff\n\r \"'<>&{}[]:,;=%/\\0919-+.eE"
HOSTILE_NUMBERS: tuple[Any, ...] = (
    *(
        0,
        1,
        -1,
        2,
        3,
        49,
        57,
        127,
        255,
        65_535,
        10_000,
        10_002,
        2**31,
        -(2**31),
        2**53,
        2**63,
        2**64,
        -(2**70),
    ),
    *(10**19, 10**25, 0.5, -0.0, 1e308, 1e-320),
)


def mutated(seeds: Sequence[bytes], tokens: Sequence[str] = (), *, most: int = MAX_SMALL_BYTES) -> Generate:
    """Returns a generator of valid inputs with a few changed bytes; `tokens` are words of the format."""
    words = [text.encode() for text in (*tokens, *tokens, *HOSTILE_TEXTS)]

    def generate(random: Random) -> bytes:
        data = bytearray(random.choice(seeds))
        for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
            _mutate_bytes(data, random, words, seeds)
            del data[most:]
        return bytes(data)

    return generate


def _mutate_bytes(data: bytearray, random: Random, words: Sequence[bytes], seeds: Sequence[bytes]) -> None:
    start = random.randint(0, len(data))
    end = min(len(data), start + random.choice((1, 1, 2, 4, 8, 16, 40, len(data))))
    match random.randrange(9):
        case 0:
            del data[start:end]
        case 8:  # runs: two of them beside each other cost a pattern with adjacent parts a lot
            data[start:start] = _run(random, words)
        case 1 | 2:
            data[start:start] = random.choice(words)
        case 3:
            data[start:end] = random.choice(words)
        case 4:
            data[start:start] = data[start:end] * random.choice((1, 2, 3, 20))
        case 5:
            data[start : start + 1] = bytes((random.choice(_INTERESTING_BYTES),))
        case 6:
            data[start : start + 1] = bytes((random.randrange(256),))
        case _:
            other = random.choice(seeds)
            cut = random.randint(0, len(other))
            data[start:end] = other[cut : cut + random.choice((4, 16, 64, len(other)))]


def _run(random: Random, words: Sequence[bytes]) -> bytes:
    """Returns a few bytes many times, mostly blanks."""
    return random.choice((b" ", b" ", b"\n", b"a", random.choice(words))) * random.choice((20, 60, 120, 240))


def mutated_json(
    seeds: Sequence[bytes], tokens: Sequence[str] = (), *, most: int = MAX_SMALL_BYTES
) -> Generate:
    """Returns a generator of valid JSON with a few changed values; one of eight has changed bytes besides."""
    texts = (*tokens, *tokens, *HOSTILE_TEXTS)
    values = [json.loads(seed) for seed in seeds]
    break_bytes = mutated(seeds, tokens, most=most)

    def generate(random: Random) -> bytes:
        if random.randrange(8) == 0:
            return break_bytes(random)
        value = _copy(random.choice(values))
        for _ in range(random.choice((0, 1, 1, 2, 2, 3, 5, 8))):
            value = _mutate_value(value, random, texts, values)
        return encode_json(value)

    return generate


def encode_json(value: object) -> bytes:
    """Returns a value as JSON in UTF-8; lone surrogates are escaped."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


def _mutate_value(value: Any, random: Random, texts: Sequence[str], values: Sequence[Any]) -> Any:
    """Changes one node of a value: the way down to it is random, so that all depths are reached."""
    if isinstance(value, dict) and value and random.randrange(6):
        key = random.choice(list(value))
        match random.randrange(12):
            case 0:
                del value[key]
            case 1:
                value[random.choice(texts)] = value[key]
            case 2:
                value[key] = value[random.choice(list(value))]
            case _:
                value[key] = _mutate_value(value[key], random, texts, values)
        return value
    if isinstance(value, list) and value and random.randrange(6):
        index = random.randrange(len(value))
        match random.randrange(8):
            case 0:
                del value[index]
            case 1:
                value.insert(index, _copy(random.choice(value)))
            case _:
                value[index] = _mutate_value(value[index], random, texts, values)
        return value
    if isinstance(value, str) and random.randrange(4):
        return mutate_text(value, random, texts)
    return _other_value(value, random, texts, values)


def _other_value(value: Any, random: Random, texts: Sequence[str], values: Sequence[Any]) -> Any:
    match random.randrange(10):
        case 0 | 1:
            return random.choice(texts)
        case 2 | 3:
            return random.choice(HOSTILE_NUMBERS)
        case 4:
            return random.choice((None, True, False, [], {}, [[]], {"": ""}))
        case 5:
            return str(value)
        case 6:
            return [value]
        case 7:
            return {random.choice(texts): value}
        case 8:
            return _copy(random.choice(values))
        case _:
            return random.choice(HOSTILE_NUMBERS) if isinstance(value, str) else random.choice(texts)


def mutate_text(text: str, random: Random, texts: Sequence[str]) -> str:
    """Returns a text with one change."""
    start = random.randint(0, len(text))
    end = min(len(text), start + random.choice((1, 2, 5, 20)))
    match random.randrange(7):
        case 0:
            return text[:start] + text[end:]
        case 6:
            run = random.choice((" ", " ", "\n", "a", random.choice(texts))) * random.choice(
                (20, 60, 120, 240)
            )
            return text[:start] + run + text[start:]
        case 1 | 2:
            return text[:start] + random.choice(texts) + text[start:]
        case 3:
            return text[:start] + random.choice(texts) + text[end:]
        case 4:
            return text[:start] + text[start:end] * random.choice((2, 3, 20)) + text[end:]
        case _:
            return text[:start]


def grown(seeds: Sequence[bytes], tokens: Sequence[str] = (), *, size: int = LARGE_BYTES) -> Generate:
    """Returns a generator of large inputs: a piece of a valid one, or a few words, repeated in its middle."""
    words = [text.encode() for text in (*tokens, *HOSTILE_TEXTS) if text]

    def generate(random: Random) -> bytes:
        seed = random.choice(seeds)
        cut = random.randint(0, len(seed))
        piece = _piece(random, seed, words)
        end = random.choice((cut, len(seed), random.randint(cut, len(seed))))
        middle = piece * (max(0, size - cut - len(seed) + end) // len(piece) + 1)
        if random.randrange(3) == 0:  # two runs beside each other: adjacent parts of one pattern
            other = _piece(random, seed, words)
            middle = middle[: size // 2] + random.choice(words) + other * (size // 2 // len(other))
        return seed[:cut] + middle + seed[end:]

    return generate


def _piece(random: Random, seed: bytes, words: Sequence[bytes]) -> bytes:
    """Returns a few bytes to repeat, never none."""
    if random.randrange(2) and seed:
        start = random.randrange(len(seed))
        return seed[start : start + random.choice((1, 1, 2, 3, 8, 40))]
    return b"".join(random.choice(words) for _ in range(random.choice((1, 1, 1, 2, 3))))


def grown_json(seeds: Sequence[bytes], tokens: Sequence[str] = (), *, size: int = LARGE_BYTES) -> Generate:
    """Returns a generator of large JSON: a long text in a valid one, or an element or a key many times."""
    words = [text for text in (*tokens, *HOSTILE_TEXTS) if text]
    values = [json.loads(seed) for seed in seeds]
    break_bytes = grown(seeds, tokens, size=size)

    def generate(random: Random) -> bytes:
        if random.randrange(6) == 0:
            return break_bytes(random)
        value = _copy(random.choice(values))
        return encode_json(_grow_value(value, random, words, size))[: 2 * size]

    return generate


def _grow_value(value: Any, random: Random, words: Sequence[str], size: int) -> Any:
    if isinstance(value, dict) and value and random.randrange(8):
        key = random.choice(list(value))
        value[key] = _grow_value(value[key], random, words, size)
        return value
    if isinstance(value, list) and value:
        if random.randrange(3):
            index = random.randrange(len(value))
            value[index] = _grow_value(value[index], random, words, size)
            return value
        element = random.choice(value)
        return [*value, *[element] * (size // max(4, len(encode_json(element)) + 2))]
    match random.randrange(8):
        case 0:
            return [random.choice((1, "", [], {}, None, {"a": 1}, [[]]))] * (size // 4)
        case 1:
            return {f"{number}": 1 for number in range(size // 10)}
        case _:
            return grow_text(str(value) if isinstance(value, str | int) else "", random, words, size)


def grow_text(text: str, random: Random, words: Sequence[str], size: int) -> str:
    """Returns a text with a piece of it, or a few words, repeated in its middle."""
    cut = random.randint(0, len(text))
    if random.randrange(2) and text:
        start = random.randrange(len(text))
        piece = text[start : start + random.choice((1, 1, 2, 3, 8, 40))]
    else:
        piece = "".join(random.choice(words) for _ in range(random.choice((1, 1, 1, 2, 3))))
    middle = piece * (size // len(piece.encode("utf-8", "replace")) + 1)
    if random.randrange(3) == 0:
        other = random.choice(words)
        middle = (
            middle[: len(middle) // 2] + random.choice(words) + other * (size // 2 // len(other.encode()))
        )
    return text[:cut] + middle + text[cut:]


def either(*generators: Generate) -> Generate:
    """Returns a generator that asks one of several, each as often."""
    return lambda random: random.choice(generators)(random)
