"""App messages (MsgType 49) by their inner type (webwx 3.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wx2mqtt.simulator import messages
from wx2mqtt.simulator.system_texts import phrase

Fields = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppMessageKind:
    """The template of one inner type.

    `entry_type` is the AppMsgType of the entry where it differs from the type in the XML. `extra_xml` is XML
    inside `appmsg` with a placeholder `{key}` for each detail (`{key_as_is}` within CDATA). `title_phrase`
    names the system phrase that is the title when the order gives none.
    """

    type: int
    entry_type: int | None = None
    title: str = ""
    des: str = ""
    url: str = ""
    extra_xml: str = ""
    title_phrase: str = ""
    app_name: str = ""
    defaults: tuple[tuple[str, str], ...] = ()


_MINI_PROGRAM = AppMessageKind(
    type=33,
    entry_type=33,
    title="今日天气",
    url="https://mp.weixin.qq.com/mp/waerrpage?appid=wx1",
    extra_xml="<sourcedisplayname>{program}</sourcedisplayname><weappinfo><pagepath><![CDATA[{page_as_is}]]></pagepath>"
    "<username>gh_x@app</username><appid>wx1</appid></weappinfo>",
    defaults=(("program", "天气通"), ("page", "pages/index/index.html")),
)

_QUOTE = AppMessageKind(
    type=57,
    entry_type=57,
    title="好的",
    extra_xml="<refermsg><type>{refer_type}</type><svrid>{refer_id}</svrid><fromusr>{refer_from}</fromusr>"
    "<chatusr>{refer_chat}</chatusr><displayname>{refer_name}</displayname>"
    "<content>{refer_text}</content></refermsg>",
    defaults=(
        ("refer_type", "1"),
        ("refer_id", "7615282929538795098"),
        ("refer_from", "wxid_lilei"),
        ("refer_chat", "wxid_lilei"),
        ("refer_name", "李雷"),
        ("refer_text", "几点吃饭？"),
    ),
)

_HISTORY = (
    "<recorditem><![CDATA[<recordinfo><title>聊天记录</title><desc>李雷: 好&#x0A;韩梅梅: [图片]</desc>"
    '<datalist count="2"><dataitem datatype="1" dataid="1"><datadesc>好</datadesc>'
    "<sourcename>李雷</sourcename><sourcetime>2026-11-25 08:00:00</sourcetime></dataitem>"
    '<dataitem datatype="2" dataid="2"><datafmt>jpg</datafmt><datasize>1404</datasize>'
    "<sourcename>韩梅梅</sourcename><sourcetime>2026-11-25 08:01:00</sourcetime></dataitem></datalist>"
    "</recordinfo>]]></recorditem>"
)

_TRANSFER = (
    "<wcpayinfo><paysubtype>{pay_state}</paysubtype><feedesc><![CDATA[{amount_as_is}]]></feedesc>"
    "<transcationid><![CDATA[1]]></transcationid><transferid><![CDATA[2]]></transferid>"
    "<pay_memo><![CDATA[{memo_as_is}]]></pay_memo></wcpayinfo>"
)

_RED_PACKET = (
    "<wcpayinfo><templateid>7a</templateid><sendertitle><![CDATA[{memo_as_is}]]></sendertitle>"
    "<receivertitle><![CDATA[{memo_as_is}]]></receivertitle></wcpayinfo>"
)

_CHANNELS = "<finderFeed><objectId>1</objectId><nickname>{author}</nickname><desc>{about}</desc></finderFeed>"

_ARTICLES = (
    '<mmreader><category type="20" count="2"><name>{account}</name>'
    "<item><title><![CDATA[第一条]]></title><url><![CDATA[http://mp.weixin.qq.com/s?a=1&b=2]]></url>"
    "<digest><![CDATA[摘要一]]></digest><cover><![CDATA[http://mmbiz.qpic.cn/1]]></cover>"
    "<pub_time>1700000000</pub_time></item>"
    "<item><title><![CDATA[第二条]]></title><url><![CDATA[http://mp.weixin.qq.com/s?a=3&b=4]]></url>"
    "<digest><![CDATA[]]></digest><cover><![CDATA[]]></cover><pub_time>1700000000</pub_time></item>"
    "</category></mmreader>"
)

APP_MESSAGE_KINDS: dict[str, AppMessageKind] = {
    "unsupported": AppMessageKind(type=0, title_phrase="unsupported"),
    "app_text": AppMessageKind(type=1, title="来自应用的文字"),
    "app_image": AppMessageKind(type=2, title="来自应用的图片"),
    "music": AppMessageKind(
        type=3,
        title="平凡之路",
        des="朴树",
        url="http://y.qq.com/song?a=1&b=2",
        extra_xml="<dataurl>http://y.qq.com/data.mp3</dataurl>",
    ),
    "video_link": AppMessageKind(type=4, title="一个视频", des="说明", url="http://v.qq.com/x?a=1&b=2"),
    "link": AppMessageKind(
        type=5,
        title="解码新时代",
        des="摘要 & 更多",
        url="http://mp.weixin.qq.com/s?__biz=MjM5&mid=1&idx=1#rd",
    ),
    "articles": AppMessageKind(
        type=5,
        title="第一条",
        des="摘要一",
        url="http://mp.weixin.qq.com/s?a=1&b=2",
        extra_xml=_ARTICLES,
        defaults=(("account", "中国日报双语新闻"),),
    ),
    "file": AppMessageKind(
        type=6,
        title="报告.pdf",
        app_name="WeChat",
        extra_xml="<appattach><totallen>{size}</totallen><attachid>@cdn_1</attachid><fileext>{extension}</fileext>"
        "</appattach>",
    ),
    "open_app": AppMessageKind(type=7, title="打开应用"),
    "app_sticker": AppMessageKind(
        type=8, title="动画表情", extra_xml="<appattach><emoticonmd5>d41d8cd9</emoticonmd5></appattach>"
    ),
    "voice_reminder": AppMessageKind(type=9, title="语音提醒"),
    "scanned_product": AppMessageKind(type=10, title="扫到的商品"),
    "product": AppMessageKind(type=13, title="商品", url="http://mall.example/p?a=1&b=2"),
    "sticker_set": AppMessageKind(type=15, title="表情专辑"),
    "coupon": AppMessageKind(type=16, title="优惠券"),
    "live_location": AppMessageKind(type=17, title_phrase="live_location"),
    "chat_history": AppMessageKind(
        type=19, entry_type=0, title_phrase="chat_history", des="李雷: 好\n韩梅梅: [图片]", extra_xml=_HISTORY
    ),
    "note": AppMessageKind(type=24, entry_type=0, title="笔记", extra_xml=_HISTORY),
    "mini_program": _MINI_PROGRAM,
    "mini_program_36": AppMessageKind(
        type=36,
        entry_type=36,
        title=_MINI_PROGRAM.title,
        url=_MINI_PROGRAM.url,
        extra_xml=_MINI_PROGRAM.extra_xml,
        defaults=_MINI_PROGRAM.defaults,
    ),
    "channels": AppMessageKind(
        type=51,
        entry_type=0,
        title_phrase="channels",
        extra_xml=_CHANNELS,
        defaults=(("author", "视频作者"), ("about", "一段视频")),
    ),
    "group_note": AppMessageKind(type=53, entry_type=0, title="#接龙\n1. 李雷"),
    "quote": _QUOTE,
    "live": AppMessageKind(
        type=63,
        entry_type=0,
        title_phrase="channels",
        extra_xml=_CHANNELS,
        defaults=(("author", "主播"), ("about", "直播中")),
    ),
    "announcement": AppMessageKind(
        type=87,
        entry_type=0,
        title="群公告",
        extra_xml="<textannouncement>{announced}</textannouncement>",
        defaults=(("announced", "今晚八点开会"),),
    ),
    "gift": AppMessageKind(type=115, entry_type=0, title="送你一份礼物"),
    "app_transfer": AppMessageKind(
        type=2000,
        title_phrase="transfer",
        des="收到转账0.01元。如需收钱，请点此升级至最新版本",
        extra_xml=_TRANSFER,
        defaults=(("pay_state", "1"), ("amount", "￥0.01"), ("memo", "")),
    ),
    "app_red_packet": AppMessageKind(
        type=2001,
        title_phrase="red_packet",
        extra_xml=_RED_PACKET,
        defaults=(("memo", "恭喜发财，大吉大利"),),
    ),
    "reader": AppMessageKind(
        type=100001, entry_type=100001, title="阅读", extra_xml=_ARTICLES, defaults=(("account", "腾讯新闻"),)
    ),
}

KINDS_WITH_THUMBNAIL = frozenset(
    {"link", "articles", "music", "video_link", "mini_program", "mini_program_36", "channels", "live"}
)
"""App messages with a thumbnail; their entries carry its size (webwx 3.1.3)."""

_THUMBNAIL_FIELDS = {"ImgStatus": 2, "ImgWidth": 120, "ImgHeight": 120}


def app_message_fields(kind: str, text: str, msg_id: int, detail: Mapping[str, object]) -> Fields:
    """Returns the entry fields of an app message; `text`, if not empty, is its title."""
    app_kind = APP_MESSAGE_KINDS[kind]
    title = text or str(detail.get("title", "")) or app_kind.title
    if not title:
        title = phrase("en_US" if detail["language"] == "en_US" else "zh_CN", app_kind.title_phrase)
    url = str(detail.get("url", app_kind.url))
    values = {**dict(app_kind.defaults), **{key: str(value) for key, value in detail.items()}}
    values["extension"] = title.rpartition(".")[2]
    fields: Fields = {
        "MsgType": 49,
        "AppMsgType": app_kind.type if app_kind.entry_type is None else app_kind.entry_type,
        "FileName": messages.encode_name(title),
        "Url": messages.escape(url),
        "Content": messages.encode_xml(
            _content_xml(app_kind, title, str(detail.get("des", app_kind.des)), url, values)
        ),
    }
    return {
        **fields,
        **(_THUMBNAIL_FIELDS if kind in KINDS_WITH_THUMBNAIL else {}),
        **_file_fields(kind, msg_id, values),
    }


def _file_fields(kind: str, msg_id: int, values: dict[str, str]) -> Fields:
    if kind != "file":
        return {}
    return {"FileSize": values["size"], "MediaId": media_id(msg_id), "EncryFileName": encrypted_name(msg_id)}


def media_id(msg_id: int) -> str:
    return f"@crypt_{msg_id:x}"


def encrypted_name(msg_id: int) -> str:
    return f"encry_{msg_id:x}"


def _content_xml(app_kind: AppMessageKind, title: str, des: str, url: str, values: dict[str, str]) -> str:
    escaped = {key: messages.escape(value) for key, value in values.items()}
    for_cdata = {f"{key}_as_is": value.replace("]]>", "") for key, value in values.items()}
    extra = app_kind.extra_xml.format_map(escaped | for_cdata)
    return (
        '<?xml version="1.0"?>\n<msg>\n\t<appmsg appid="" sdkver="0">\n'
        f"\t\t<title>{messages.escape(title)}</title>\n"
        f"\t\t<des>{messages.escape(des)}</des>\n\t\t<action />\n\t\t<type>{app_kind.type}</type>\n"
        f"\t\t<url>{messages.escape(url)}</url>\n\t\t{extra}\n\t</appmsg>\n"
        f"\t<fromusername>wxid_from</fromusername>\n"
        f"\t<appinfo>\n\t\t<version>1</version>\n\t\t<appname>{app_kind.app_name}</appname>\n\t</appinfo>\n</msg>\n"
    )
