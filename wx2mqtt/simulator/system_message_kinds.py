"""System messages of type 10002, in XML (webwx 3.11.1)."""

from __future__ import annotations

from wx2mqtt.simulator import messages
from wx2mqtt.simulator.message_spec import Builder, Fields, MessageDetails, MessageSpec
from wx2mqtt.simulator.system_texts import phrase
from wx2mqtt.simulator.world import WorldContact


def default_text(kind: str, author: WorldContact, details: MessageDetails) -> str:
    """Returns WeChat's own text of a system message."""
    names = {"a": details.text("a", author.nickname), "b": details.text("b", "李四")}
    return phrase(details.language, _PHRASE_NAMES[kind]).format_map(names)


def _text_or_default(kind: str, spec: MessageSpec) -> str:
    return (spec.text or default_text(kind, spec.author, spec.details)).replace("]]>", "")


def _sysmsg(inner: str, kind: str) -> Fields:
    return {"MsgType": 10002, "Content": messages.encode_xml(f'<sysmsg type="{kind}">{inner}</sysmsg>')}


def _recall(spec: MessageSpec) -> Fields:
    msg_id = spec.details.text("msg_id", "0")
    text = _text_or_default("recall", spec)
    inner = (
        f"<revokemsg><session>{spec.details.user_name_of(spec.author.id)}</session><oldmsgid>1064960001</oldmsgid>"
        f"<msgid>{msg_id}</msgid><replacemsg><![CDATA[{text}]]></replacemsg></revokemsg>"
    )
    return _sysmsg(inner, "revokemsg")


def _pat(spec: MessageSpec) -> Fields:
    text = _text_or_default("pat", spec)
    inner = (
        f"<pat><fromusername>wxid_a</fromusername><pattedusername>wxid_me</pattedusername>"
        f"<template><![CDATA[{text}]]></template></pat>"
    )
    return _sysmsg(inner, "pat")


def _member_joined(spec: MessageSpec) -> Fields:
    text = _text_or_default("member_joined", spec)
    inner = (
        f'<sysmsgtemplate><content_template type="tmpl_type_profile"><plain></plain>'
        f"<template><![CDATA[{text}]]></template></content_template></sysmsgtemplate>"
    )
    return _sysmsg(inner, "sysmsgtemplate")


def _group_todo(spec: MessageSpec) -> Fields:
    text = _text_or_default("group_todo", spec)
    return _sysmsg(f"<todo><op>0</op><title><![CDATA[{text}]]></title></todo>", "roomtoolstips")


def _member_removed(spec: MessageSpec) -> Fields:
    text = _text_or_default("member_removed", spec)
    inner = f"<delchatroommember><plain><![CDATA[{text}]]></plain></delchatroommember>"
    return _sysmsg(inner, "delchatroommember")


def _member_invited(spec: MessageSpec) -> Fields:
    """An invitation whose names are in a link list instead of in the text."""
    template = _cdata(spec.details.text("template", '"$username$"邀请"$names$"加入了群聊'))
    inviter = spec.details.text("a", spec.author.nickname)
    invited = spec.details.text("b", "李四").split("、")
    inner = (
        '<sysmsgtemplate><content_template type="tmpl_type_profile"><plain><![CDATA[]]></plain>'
        f"<template>{template}</template><link_list>"
        f'<link name="username" type="link_profile"><memberlist>{_member(inviter)}</memberlist></link>'
        f'<link name="names" type="link_profile"><memberlist>{"".join(map(_member, invited))}</memberlist>'
        "<separator><![CDATA[、]]></separator></link></link_list></content_template></sysmsgtemplate>"
    )
    return _sysmsg(inner, "sysmsgtemplate")


def _member(nickname: str) -> str:
    name = _cdata(nickname)
    return f"<member><username><![CDATA[wxid_member]]></username><nickname>{name}</nickname></member>"


def _cdata(text: str) -> str:
    return f"<![CDATA[{text.replace(']]>', '')}]]>"


SYSTEM_MESSAGE_KINDS: dict[str, Builder] = {
    "recall": _recall,
    "pat": _pat,
    "member_joined": _member_joined,
    "member_invited": _member_invited,
    "group_todo": _group_todo,
    "member_removed": _member_removed,
}

_PHRASE_NAMES = {
    "recall": "recalled",
    "pat": "pat",
    "member_joined": "joined",
    "member_invited": "invited",
    "group_todo": "todo",
    "member_removed": "removed",
}
