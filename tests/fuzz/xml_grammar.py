"""Makes XML in the form of WeChat's messages: appmsg, sysmsg, revokemsg, sysmsgtemplate and all that they hold."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tests.fuzz.mutators import HOSTILE_TEXTS, grow_text
from tests.fuzz.oracles import LARGE_BYTES
from wx2mqtt.wechat.webwx.protocol.codes import AppType

CHILDREN: dict[str, tuple[str, ...]] = {
    "msg": ("appmsg", "img", "videomsg", "voicemsg", "emoji", "location", "appinfo", "gameext"),
    "appmsg": (
        *(
            "type",
            "title",
            "des",
            "url",
            "dataurl",
            "thumburl",
            "sourcedisplayname",
            "appattach",
            "weappinfo",
        ),
        *("refermsg", "recorditem", "wcpayinfo", "mmreader", "finderFeed", "carditem", "patMsg"),
        *("textannouncement", "streamvideo", "template"),
    ),
    "appinfo": ("appname", "version"),
    "appattach": ("totallen", "fileext", "cdnthumburl", "attachid", "emoticonmd5"),
    "weappinfo": ("pagepath", "username", "appid"),
    "refermsg": ("type", "svrid", "displayname", "content", "fromusr", "chatusr"),
    "recorditem": ("recordinfo",),
    "recordinfo": ("title", "desc", "datalist"),
    "datalist": ("dataitem", "dataitem"),
    "dataitem": ("datadesc", "datatitle", "sourcename", "srcMsgCreateTime", "weburlitem", "recordinfo"),
    "weburlitem": ("title", "desc"),
    "wcpayinfo": ("paysubtype", "feedesc", "pay_memo", "sendertitle", "receivertitle", "templateid"),
    "mmreader": ("category",),
    "category": ("name", "item", "item", "topnew"),
    "item": ("title", "url", "digest", "cover", "pub_time"),
    "finderFeed": ("nickname", "desc", "objectId"),
    "sysmsg": ("revokemsg", "sysmsgtemplate", "pat", "mmchatroombarannouncememt", "todo", "roomtoolstips"),
    "revokemsg": ("session", "msgid", "newmsgid", "replacemsg"),
    "sysmsgtemplate": ("content_template",),
    "content_template": ("plain", "text", "template", "link_list"),
    "link_list": ("link", "link"),
    "link": ("memberlist", "plain", "title", "separator"),
    "memberlist": ("member", "member"),
    "member": ("username", "nickname"),
    "patMsg": ("records", "fromUser"),
    "pat": ("template", "fromusername"),
    "todo": ("title", "content"),
    "mmchatroombarannouncememt": ("content",),
}
ROOTS = ("msg", "msg", "msg", "sysmsg", "appmsg", "recordinfo", "mmreader")
TAGS = tuple({*CHILDREN, *(tag for tags in CHILDREN.values() for tag in tags)})
ATTRIBUTES = (
    *("type", "name", "x", "y", "label", "poiname", "scale", "datatype", "count", "length", "playlength"),
    *(
        "fromnickname",
        "content",
        "nickname",
        "alias",
        "scene",
        "ticket",
        "encryptusername",
        "province",
        "city",
    ),
    *("voicelength", "cdnthumbwidth", "width", "height", "md5", "fromusername"),
)
VALUES = (
    *(
        "revokemsg",
        "sysmsgtemplate",
        "pat",
        "link_profile",
        "username",
        "$username$",
        "${x}",
        "$names$ 移出 $x$",
    ),
    *(
        "标题",
        "收到转账0.01元",
        "￥1.00",
        "39.9",
        "116.4",
        "a.pdf",
        "1404",
        "1700000000",
        "7615282929538795099",
    ),
    *(
        '"李雷" 撤回了一条消息',
        "&lt;msg&gt;&lt;/msg&gt;",
        "<![CDATA[<a href='x'>y</a>]]>",
        "李雷: 好\n韩梅梅: [图片]",
    ),
    *map(str, (*AppType, 0, 10_000, 10_002, 4711)),
)
_MAX_DEPTH = 8


def element(random: Random, tag: str = "", depth: int = 0) -> str:
    """Returns an element, mostly with the children that WeChat puts into it."""
    tag = tag or random.choice(ROOTS)
    children = CHILDREN.get(tag, ())
    names = random.sample(ATTRIBUTES, random.choice((0, 0, 1, 1, 2, 3)))
    attributes = "".join(f' {name}="{_escaped(_value(random))}"' for name in names)
    if not children or depth > _MAX_DEPTH:
        inside = _value(random)
        if random.randrange(3) == 0:
            inside = f"<![CDATA[{inside}]]>"
    else:
        inside = "".join(
            element(random, random.choice(TAGS) if random.randrange(12) == 0 else child, depth + 1)
            for child in children
            if random.randrange(3)
        )
    if tag == "recorditem" and random.randrange(2):
        inside = f"<![CDATA[{inside}]]>"
    return f"<{tag}{attributes}>{inside}</{tag}>"


def content(random: Random) -> str:
    """Returns the XML of a message, sometimes broken, with a declaration or inside of other text."""
    if random.randrange(3) == 0:
        kind = random.choice(VALUES)
        source = (
            f'<sysmsg type="{_escaped(kind)}">{element(random, random.choice(CHILDREN["sysmsg"]))}</sysmsg>'
        )
    else:
        source = element(random)
    match random.randrange(12):
        case 0:
            return source[: random.randrange(len(source) + 1)]
        case 1:
            return '<?xml version="1.0"?>\n' + source
        case 2:
            return random.choice(HOSTILE_TEXTS) + source
        case 3:
            at = random.randrange(len(source))
            return source[:at] + random.choice(HOSTILE_TEXTS) + source[at:]
        case _:
            return source


def large_content(random: Random) -> str:
    """Returns about 100 kB of XML: a text, an attribute or an element in it many times."""
    source = content(random)
    words = [text for text in (*VALUES, *HOSTILE_TEXTS) if text]
    if random.randrange(2):
        return grow_text(source, random, words, LARGE_BYTES)
    part = element(random, random.choice(TAGS), depth=_MAX_DEPTH - 2)
    at = source.find(">") + 1
    if random.randrange(3) == 0:  # deep instead of wide
        tag = random.choice(TAGS)
        count = LARGE_BYTES // (2 * len(tag) + 5)
        return f"{source[:at]}{f'<{tag}>' * count}{f'</{tag}>' * count}{source[at:]}"
    return source[:at] + part * (LARGE_BYTES // len(part.encode()) + 1) + source[at:]


def escaped(xml: str) -> str:
    """Returns XML as it stands in the field `Content`: escaped once, with `<br/>` between lines."""
    plain = xml.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return plain.replace("\n", "<br/>")


def _value(random: Random) -> str:
    values: Sequence[str] = VALUES if random.randrange(3) else HOSTILE_TEXTS
    return random.choice(values)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
