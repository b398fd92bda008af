"""Reads the texts that WeChat itself writes into a chat, as plain text or as XML (webwx 3.2, 3.10, 3.11).

A sentence such as `收到转账1.00元` becomes a transfer, and every other text a message of `Kind.SYSTEM`. The
names in a text are display names, which do not identify anybody. Who joined or left is read in
`membership_texts.py`, a recall in `events.py`.
"""

from __future__ import annotations

import re

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import webwx_placeholder
from wx2mqtt.model import Json, Kind
from wx2mqtt.wechat.json_reader import JsonObject
from wx2mqtt.wechat.webwx.protocol.content import Content
from wx2mqtt.wechat.webwx.protocol.markup import XmlNode, parse_xml, system_text
from wx2mqtt.wechat.webwx.protocol.membership_texts import OPENING_QUOTES, OWNER_WORDS


def system_notice(_entry: JsonObject, content: str, language: Language) -> Content:
    """Returns the content of a system text: a red packet, a transfer, or the text itself."""
    text = system_text(content)
    return money_notice(text) or Content(
        kind=Kind.SYSTEM, text=text or webwx_placeholder(language, Kind.SYSTEM)
    )


# The begin of `<sysmsg type="revokemsg">…`, also when it is escaped.
_SYSMSG = re.compile(r"(?:<|&lt;)sysmsg\b")


def parse_system_xml(content: str) -> XmlNode:
    """Returns the element `sysmsg` of the content of a MsgType 10002, or `NO_NODE`."""
    # Text that is no sender prefix may precede the XML.
    start = _SYSMSG.search(content)
    return parse_xml(content[start.start() :] if start else content)


def system_xml_content(sysmsg: XmlNode) -> Content | None:
    """Returns the text in a system XML, or None when it has no text for people."""
    body = sysmsg.find("*")
    # What a member of the group wrote: the title of a to-do, or an announcement. In XML that is no
    # announcement, `content` is not meant for people.
    text_of_people = body.text("title") or (body.text("content") if "announ" in body.tag else "")
    text = system_text(_sentence(body) or text_of_people)
    return Content(kind=Kind.SYSTEM, text=text) if text else None


def has_text_of_people(content: str) -> bool:
    """Returns whether people wrote the text in a system XML, so that it reports nothing as WeChat."""
    return not _sentence(parse_system_xml(content).find("*"))


def _sentence(xml: XmlNode) -> str:
    """Returns the sentence of WeChat in a system XML of any kind: a plain text, or a filled-in template."""
    for node in (xml, xml.find("content_template")):
        text = node.text("plain") or node.text("text") or _fill_template(node.text("template"), node)
        if text:
            return text
    return ""


# `$username$`, whose name is caught, or `${anything}`
_VARIABLE = re.compile(r"\$\{[^{}]*\}|\$(\w+)\$")

# A text made from a template is cut here. The longest ones of WeChat list the members of a group.
MAX_FILLED_CHARACTERS = 10_000


def _fill_template(template: str, xml: XmlNode) -> str:
    """Returns a template with nicknames from its link list in place of `$variables$` (webwx 3.11.4).

    The text is cut: variables that repeat long names could make it thousands of times as long as the XML.
    """
    names = {link.attribute("name"): _link_names(link) for link in xml.find_all("link_list/link")}
    parts: list[str] = []
    missing = MAX_FILLED_CHARACTERS
    end = 0
    for variable in _VARIABLE.finditer(template):
        if missing <= 0:
            break
        words = template[end : variable.start()]
        name = names.get(variable[1] or "") or "?"
        if name in OWNER_WORDS and not words.endswith(OPENING_QUOTES):
            name = f'"{name}"'  # else it would be read as the owner: somebody may be called 你
        part = words + name
        parts.append(part[:missing])
        missing -= len(part)
        end = variable.end()
    return "".join([*parts, template[end : end + max(missing, 0)]])


def _link_names(link: XmlNode) -> str:
    members = [member.text("nickname") for member in link.find_all("memberlist/member")]
    return "、".join(filter(None, members)) or link.text("plain") or link.text("title")


# Money, in simplified Chinese, traditional Chinese and English (webwx 3.6.7, 3.10)

_CURRENCIES = {
    "": "CNY",
    "元": "CNY",
    "圆": "CNY",
    "圓": "CNY",
    "¥": "CNY",
    "￥": "CNY",
    "RMB": "CNY",
    "HK$": "HKD",
    "$": "USD",
}

# Longer texts are no notices about money, and matching them would take long.
MAX_SENTENCE_CHARACTERS = 200

# `¥1.00`, `1,000.50元`, `HK$20`, `USD 3`
_AMOUNT = re.compile(
    r"""
    (?P<sign> HK\$ | [¥￥$] | [A-Z]{3}\b )?  \s?
    (?P<amount> \d{1,12} (?:,\d{3}){0,3} (?:\.\d{1,4})? )
    (?: \s? (?P<sign_behind> [元圆圓] ) )?
    """,
    re.ASCII | re.VERBOSE,
)

# A sentence counts only as a whole. A part of it may be a name: anybody can be called 收到转账9999元.

# `收到红包，请在手机上查看`, `Lucky money received`
_RED_PACKET = re.compile(
    r"""
    (?:\d{1,2}月\d{1,2}日)?  [你您]?  [收发發][到出]?了?  (?:一?[个個])?  [红紅]包
        (?: [，,。] [请請]在手[机機]上查看 )?  。?
    |
    (?: (?:you\ )? (?:have\ )? (?:received|sent)\ (?:an?\ )? (?:red\ (?:packet|envelope)|lucky\ money)
    | (?:red\ (?:packet|envelope)|lucky\ money)\ (?:received|sent) )
        (?: [.,]\ view\ on\ (?:your\ )?phone )?  \.?
    """,
    re.IGNORECASE | re.VERBOSE,
)

# `收到转账1.00元。如需收钱，请点此升级至最新版本`, `Received a transfer of ¥1.00. View on your phone`
_TRANSFER = re.compile(
    r"""
    (?:\d{1,2}月\d{1,2}日)?  [你您]?  [收发發][到出]了?  (?:一?[笔筆])?  (?:转账|轉[賬帳])
        (?P<chinese_amount>[^，。]*?)
        (?: [，,。] (?: [请請]在手[机機]上查看 | 如需收[钱錢]，[请請][点點]此升[级級]至最新版本 ) )?  。?
    |
    (?: (?:you\ )? (?:have\ )? (?:received|sent)\ (?:a\ )? transfer | transfer\ (?:received|sent) )
        (?: \ (?:of\ )? (?P<english_amount>[^ ]+?) )?  (?: [.,]\ view\ on\ (?:your\ )?phone )?  \.?
    """,
    re.IGNORECASE | re.VERBOSE,
)


def money_notice(text: str) -> Content | None:
    """Returns the red packet or transfer that a system text announces, or None when it announces neither."""
    if len(text) > MAX_SENTENCE_CHARACTERS:
        return None
    if _RED_PACKET.fullmatch(text.strip()):
        return Content(kind=Kind.RED_PACKET, text=text)
    detail = transfer_detail(text)
    return None if detail is None else Content(kind=Kind.TRANSFER, text=text, detail=detail)


def transfer_detail(text: str) -> dict[str, Json] | None:
    """Returns the amount in a sentence such as `收到转账1.00元`; empty without one, None for another text."""
    if len(text) > MAX_SENTENCE_CHARACTERS:
        return None
    match = _TRANSFER.fullmatch(text.strip())
    if match is None:
        return None
    amount_text = match["chinese_amount"] or match["english_amount"]
    if not amount_text:
        return {}
    return read_amount(amount_text) or None  # with anything else in that place it is another sentence


def read_amount(text: str) -> dict[str, Json]:
    """Returns `amount` as a decimal string and `currency`; empty when the text is no amount."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        return {}
    # A number without a sign is in the currency of China.
    sign = match["sign"] or match["sign_behind"] or ""
    return {"amount": match["amount"].replace(",", ""), "currency": _CURRENCIES.get(sign, sign)}
