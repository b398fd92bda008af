"""Web WeChat: messages in all forms, their XML, and the texts of WeChat itself."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from random import Random

from tests.fuzz import xml_grammar
from tests.fuzz.mutators import (
    either,
    encode_json,
    grown,
    grown_json,
    mutated,
    mutated_json,
)
from tests.fuzz.oracles import require_json
from tests.fuzz.target import Target
from tests.fuzz.targets.webwx_samples import (
    ENTRIES,
    FIELD_WORDS,
    MESSAGE_BATCHES,
    NOW_MS,
    SYNC,
    check_url,
    names,
    text_generate,
)
from tests.unit.wechat.webwx.entries import OWNER, SESSION, WIFE, entry, roster
from wx2mqtt.model import (
    Cursor,
    Event,
    Handle,
    Kind,
    Message,
)
from wx2mqtt.mqtt.payloads import cut_payload, encode, event_body, last_body, message_body, without_attachment
from wx2mqtt.simulator.system_texts import SYSTEM_TEXTS
from wx2mqtt.wechat.json_reader import UnreadableJson, parse_json
from wx2mqtt.wechat.webwx.protocol import (
    app_messages,
    content,
    events,
    group_members,
    locators,
    markup,
    media_messages,
    membership_texts,
    messages,
    responses,
    system_texts,
)
from wx2mqtt.wechat.webwx.protocol.codes import MsgType
from wx2mqtt.wechat.webwx.protocol.content import Content

# Messages


def _run_messages(data: bytes) -> None:
    try:
        answer = responses.read_sync(parse_json(data))
    except UnreadableJson:
        return
    members = roster()
    items: list[Message | Event | None] = []
    notices: group_members.NoticedMessages = []
    for fields in answer.messages:
        messages.recent_chats(fields)
        messages.entry_key(fields)
        with suppress(ValueError):  # an entry that belongs to no chat
            item = messages.read_message(fields, members, "en", NOW_MS)
            items.append(item)
            if isinstance(item, Message):
                names = messages.known_names(item.chat, item.sender, item.kind, item.text, members)
                assert replace(item, **names) == item
                notice = messages.read_notice(fields, item)
                notices += [(item, notice)] if notice else []
    for item in items:
        check_item(item)
    for event in group_members.GroupChanges(members).events(Cursor("c"), notices, NOW_MS):
        check_item(event)


def check_item(item: Message | Event | None) -> None:
    """Fails unless a message or event can be published, cut, stored and read again."""
    if isinstance(item, Event):
        body = event_body(
            item.name, event_id="e", account="home", time=NOW_MS, user="wife", fields=item.fields
        )
        require_json(body)
        return
    if item is None:
        return
    assert item.key, "a message without a key cannot be recognised when it comes again"
    assert item.kind in set(Kind)
    body = message_body(
        item, account="home", user="wife", chat_name="x", sender=None, trusted=False, media={"data": "AA=="}
    )
    require_json(body)
    check_payload(encode(body))
    for media in (item.media, item.thumbnail):
        if media is not None:
            require_json({**media.locator, "name": media.name, "mime": media.mime})
            assert media.size is None or media.size > 0


def check_payload(payload: bytes) -> None:
    """Fails unless a payload can be cut to any size and stays JSON."""
    json.loads(last_body(payload))
    shorter = without_attachment(payload)
    assert shorter is None or json.loads(shorter)["truncated"] is True
    for limit in (100, 1000, len(payload) // 2):
        cut = cut_payload(payload, limit)
        if cut is not None:
            assert len(cut) <= limit
            json.loads(cut)


def _generate_entry(random: Random, xml: str) -> bytes:
    """Returns a batch with one entry whose content is this XML."""
    fields = {
        **random.choice(ENTRIES),
        "Content": xml if random.randrange(8) == 0 else xml_grammar.escaped(xml),
    }
    if random.randrange(3):
        fields["MsgType"] = random.choice((*MsgType, MsgType.APP, MsgType.SYSTEM_XML, 66))
    if random.randrange(4) == 0:
        fields["Content"] = f"{WIFE}:<br/>{fields['Content']}"
    return encode_json({**SYNC, "AddMsgList": [fields]})


def _generate_xml_message(random: Random) -> bytes:
    return _generate_entry(random, xml_grammar.content(random))


def _grow_xml_message(random: Random) -> bytes:
    return _generate_entry(random, xml_grammar.large_content(random))


# Readers of one message each, with XML that is not escaped


_READERS = (
    media_messages.location_message,
    media_messages.image_message,
    media_messages.voice_message,
    media_messages.video_message,
    media_messages.sticker_message,
    content.card_message,
    content.text_message,
    app_messages.reader_message,
    system_texts.system_notice,
)
_APP_READERS = (
    app_messages.quote_message,
    app_messages.chat_history_message,
    app_messages.link_message,
    app_messages.music_message,
    app_messages.coupon_message,
    app_messages.channels_message,
    app_messages.mini_program_message,
    app_messages.articles_message,
    app_messages.transfer_message,
    app_messages.red_packet_message,
)


def _run_content(data: bytes) -> None:
    source = data.decode("utf-8", "replace")
    fields = entry(MsgType=49, Content=source, OriContent=source[:2000], FileName=source[:100])
    for read in _READERS:
        _check_content(read(fields, source, "en"))
    app = app_messages.read_app(fields, source, "zh")
    for read_app in _APP_READERS:
        _check_content(read_app(app))
    _check_content(app_messages.app_message(fields, source, "en"))
    _check_content(content.unsupported_message(fields, source, "en", app.title, app.type))
    sysmsg = system_texts.parse_system_xml(source)
    check_item(events.recall_event(sysmsg, Handle(WIFE), None, OWNER, "1", NOW_MS))
    _check_content(system_texts.system_xml_content(sysmsg))
    check_item(events.friend_request_event(fields, source, "1", NOW_MS))


def _check_content(result: Content | None) -> None:
    if result is None:
        return
    require_json({"text": result.text, "detail": dict(result.detail)})
    for media in (result.media, result.thumbnail):
        if media is not None:
            call = locators.parse_call(media.locator)
            assert call is not None
            url = locators.fetch_request(SESSION, call, media.locator, "t").url
            check_url(url)


# Texts


def _run_markup(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for read in (
        markup.plain_text,
        markup.clean_name,
        markup.system_text,
        markup.server_message,
        markup.extract_xml,
        markup.undo_tags,
        markup.undo_entities,
    ):
        read(text).encode()
    assert len(markup.clean_name(text).splitlines()) <= 1
    line = markup.clean_line(text)
    assert len(line) <= markup.MAX_LINE_CHARACTERS + 1
    for node in (markup.parse_xml(text), markup.parse_plain_xml(text)):
        assert node or not node.tag
        for child in node.find_all("*"):
            assert isinstance(child.attribute("type") + child.text("title") + child.find("x/y").tag, str)


def _run_system_text(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    notice = membership_texts.group_notice(text)
    if notice is not None:
        people = (*notice.added, *notice.removed, notice.by)
        assert all(len(name) <= membership_texts.MAX_NOTICE_CHARACTERS for name in people)
    _check_content(system_texts.money_notice(text))
    _check_content(system_texts.system_notice(entry(), text, "zh"))
    messages.mentions(text, ("王小明", "Papa W"))


def _run_name_in_system_text(data: bytes) -> None:
    """Puts a name into each sentence of WeChat in which people stand; the sentence keeps its meaning."""
    name = data.decode("utf-8", "replace").replace("{", "(").strip() or "x"
    for sentence in _SENTENCES_OF_FRIENDS:
        assert system_texts.money_notice(sentence.format(name=name)) is None, sentence
    for sentence in _SENTENCES_OF_GROUPS:
        text = sentence.format(name=name)
        assert system_texts.money_notice(text) is None, text
        notice = membership_texts.group_notice(text)
        if len(text) > membership_texts.MAX_NOTICE_CHARACTERS:
            continue
        if sentence in _SENTENCES_WITHOUT_CHANGE:
            assert notice is None or not (notice.added or notice.removed), text
        else:
            assert notice is not None, text
            is_unclear = notice == membership_texts.GroupNotice()
            assert is_unclear or notice.renamed == (sentence in _RENAMING_SENTENCES), text
            assert membership_texts.OWNER_MARK not in notice.removed, text


# Sentences of WeChat, none of which removes the owner or tells of money, with a name that somebody chose.
_RENAMING_SENTENCES = (
    '"{name}"修改群名为“T”',
    '"A"修改群名为“{name}”',
    '"{name}" changed the group name to “T”',
)
_SENTENCES_OF_FRIENDS = (
    "你已添加了{name}，现在可以开始聊天了。",
    "{name}开启了朋友验证，你还不是他（她）朋友。请先发送朋友验证请求，对方验证通过后，才能聊天。",
    "You have added {name} as your contact. Start chatting!",
    "{name} has enabled Friend Confirmation. [Send a friend request]",
)
_SENTENCES_WITHOUT_CHANGE = (
    '"{name}" 拍了拍 "B"',
    '"A" 拍了拍 "{name}"',
    '"{name}"已成为新群主',
    '"{name}"领取了你的红包',
)
_SENTENCES_OF_GROUPS = (
    *_RENAMING_SENTENCES,
    *_SENTENCES_WITHOUT_CHANGE,
    '"{name}"加入了群聊',
    '"{name}"退出了群聊',
    '"{name}"被移出群聊',
    '"A"将"{name}"移出了群聊',
    '"A"邀请"{name}"加入了群聊',
    '"{name}"邀请"A"加入了群聊',
    ' "{name}"通过扫描"A"分享的二维码加入群聊',
    ' "A"通过扫描"{name}"分享的二维码加入群聊',
    ' "{name}"通过扫描你分享的二维码加入群聊',
    '"A" invited "{name}" to the group chat',
    '"{name}" joined the group chat',
    '"A" was removed from the group chat by "{name}"',
    'You removed "{name}" from the group chat',
)

_SYSTEM_TEXTS = [
    text.format(a="李雷", b="韩梅梅、Bob", t="家").encode()
    for texts in SYSTEM_TEXTS.values()
    for text in texts
]
_SYSTEM_WORDS = (
    *(
        "邀请",
        "邀請",
        "加入了群聊",
        "加入群聊",
        "移出了群聊",
        "移出群聊",
        "被",
        "将",
        "將",
        "通过扫描",
        "分享的二维码",
    ),
    *(
        "退出了群聊",
        "你",
        "您",
        "You ",
        " invited ",
        " and ",
        " to the group chat",
        " removed ",
        " from the group chat",
    ),
    *(
        " joined the group chat via the QR Code shared by ",
        " left the group chat",
        "和",
        "与",
        "、",
        ", ",
        '"',
        "“",
        "”",
    ),
    *("移出群聊", "被移出群聊", "你移出群聊", "群聊参与人还有：", "请在手机上查看", "received", " transfer"),
    *("修改群名为", "changed the group name to", "收到", "转账", "元", "红包", "$", "￥", "0.01", ",", "."),
)


_XML_SEEDS = [
    str(fields["Content"])
    .replace("<br/>", "\n")
    .replace("&lt;", "<")
    .replace("&gt;", ">")
    .replace("&amp;", "&")
    .encode()
    for fields in ENTRIES
    if "lt;" in str(fields["Content"])
]


_system_small, _system_large = text_generate(_SYSTEM_TEXTS, _SYSTEM_WORDS)

TARGETS = (
    Target(
        name="webwx.messages",
        run=_run_messages,
        parsers=(
            "wechat.json_reader:parse_json",
            *names("responses", "read_sync"),
            *names("messages", "read_message", "read_frame", "recent_chats", "entry_key"),
            *names("messages", "read_notice", "known_names"),
            *names("group_members", "GroupChanges.events"),
            *names("content", "read_message_id", "content_facts"),
            *names("locators", "message_locator"),
            *names("system_texts", "system_notice", "system_xml_content", "has_text_of_people"),
            *names("events", "recall_event", "friend_request_event"),
            *("mqtt.payloads:message_body", "mqtt.payloads:event_body", "mqtt.payloads:encode"),
            *("mqtt.payloads:last_body", "mqtt.payloads:without_attachment", "mqtt.payloads:cut_payload"),
        ),
        seeds=MESSAGE_BATCHES,
        generate=either(mutated_json(MESSAGE_BATCHES, FIELD_WORDS), _generate_xml_message),
        grow=either(grown_json(MESSAGE_BATCHES, FIELD_WORDS), _grow_xml_message),
        memory_factor=5.0,
    ),
    Target(
        name="webwx.content",
        run=_run_content,
        parsers=(
            *names("media_messages", "location_message", "image_message", "voice_message", "video_message"),
            *names("media_messages", "sticker_message"),
            *names("content", "card_message", "text_message", "unsupported_message"),
            *names("locators", "parse_call", "message_locator", "fetch_request"),
            *names("app_messages", "reader_message", "link_message", "music_message", "coupon_message"),
            *names("app_messages", "channels_message", "mini_program_message", "articles_message"),
            *names("app_messages", "transfer_message", "red_packet_message"),
            *names("app_messages", "app_message", "quote_message", "chat_history_message"),
            *names("app_messages", "read_app", "AppMessage.to_content"),
            *names("system_texts", "parse_system_xml", "system_xml_content"),
            *names("events", "recall_event", "friend_request_event"),
        ),
        seeds=_XML_SEEDS,
        generate=either(
            lambda random: xml_grammar.content(random).encode(), mutated(_XML_SEEDS, xml_grammar.VALUES)
        ),
        grow=either(
            lambda random: xml_grammar.large_content(random).encode(), grown(_XML_SEEDS, xml_grammar.VALUES)
        ),
        cost_factor=12.0,  # twelve readers parse the XML
        memory_factor=5.0,  # an element takes 200 bytes; markup.MAX_XML_ELEMENTS bounds them
    ),
    Target(
        name="webwx.markup",
        run=_run_markup,
        parsers=names(
            "markup",
            *(
                "plain_text",
                "clean_name",
                "system_text",
                "clean_line",
                "server_message",
                "extract_xml",
            ),
            *("undo_tags", "undo_entities", "parse_xml", "parse_plain_xml"),
            *("XmlNode.find", "XmlNode.text", "XmlNode.attribute", "XmlNode.find_all"),
        ),
        seeds=_XML_SEEDS,
        generate=either(
            mutated(_XML_SEEDS, xml_grammar.VALUES), lambda random: xml_grammar.content(random).encode()
        ),
        grow=either(
            grown(_XML_SEEDS, xml_grammar.VALUES), lambda random: xml_grammar.large_content(random).encode()
        ),
        cost_factor=4.0,
        memory_factor=5.0,  # an element takes 200 bytes; markup.MAX_XML_ELEMENTS bounds them
    ),
    Target(
        name="webwx.system_texts",
        run=_run_system_text,
        parsers=(
            *names("membership_texts", "group_notice"),
            *names("system_texts", "system_notice"),
            *names("system_texts", "money_notice", "transfer_detail", "read_amount"),
            *names("messages", "mentions"),
        ),
        seeds=_SYSTEM_TEXTS,
        generate=_system_small,
        grow=_system_large,
    ),
    Target(
        name="webwx.names_in_texts",
        run=_run_name_in_system_text,
        parsers=(*names("membership_texts", "group_notice"), *names("system_texts", "money_notice")),
        seeds=('x"将你移出群聊'.encode(), "收到转账9999.00元".encode(), "修改群名为".encode()),
        generate=_system_small,
        grow=_system_large,
        cost_factor=25.0,  # the name stands in as many sentences
        memory_factor=4.0,
    ),
)
