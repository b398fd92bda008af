"""The rows of the table of limits (`limit_table.py`) about WeChat's servers and the store."""

from __future__ import annotations

from tests.docs.limit_rows import (
    LEFT_OUT,
    LOOKED_UP,
    OLDEST_FORGOTTEN,
    READING_PAUSES,
    json_limits,
    limit,
)
from wx2mqtt import limits
from wx2mqtt.bridge.people import evidence
from wx2mqtt.wechat import aiohttp_transport, json_reader
from wx2mqtt.wechat.ilink import receiver as ilink_receiver
from wx2mqtt.wechat.ilink.protocol import crypto, messages
from wx2mqtt.wechat.ilink.protocol import responses as ilink_responses
from wx2mqtt.wechat.ilink.protocol import session as ilink_session
from wx2mqtt.wechat.webwx import contact_list, download
from wx2mqtt.wechat.webwx import receiver as webwx_receiver
from wx2mqtt.wechat.webwx.protocol import (
    app_messages,
    markup,
    membership_texts,
    system_texts,
)
from wx2mqtt.wechat.webwx.protocol import contacts as webwx_contacts
from wx2mqtt.wechat.webwx.protocol import cookies as webwx_cookies
from wx2mqtt.wechat.webwx.protocol import responses as webwx_responses
from wx2mqtt.wechat.wecom import connection as wecom_connection
from wx2mqtt.wechat.wecom.protocol import frames as wecom_frames
from wx2mqtt.wechat.wecom.protocol import media as wecom_media
from wx2mqtt.wechat.wecom.protocol import messages as wecom_messages
from wx2mqtt.wechat.wecom.protocol import qr_scan as wecom_qr
from wx2mqtt.wechat.wecom.protocol import session as wecom_session

WECOM_CLOSED = "the connection is closed, state `interrupted`, until the store takes messages again"

WECHAT_AND_STORE_LIMITS = (
    limit(
        "a line in the head of an answer of WeChat",
        aiohttp_transport.MAX_HEAD_LINE_BYTES,
        "bytes",
        "counts as no answer",
    ),
    limit(
        "lines in the head of an answer of WeChat",
        aiohttp_transport.MAX_HEAD_LINES,
        "lines",
        "counts as no answer",
    ),
    limit(
        "an answer of WeChat that is not read yet, for each connection",
        aiohttp_transport.MAX_UNREAD_BYTES,
        "bytes",
        READING_PAUSES,
    ),
    *json_limits("an answer of WeChat", limits.WECHAT_JSON, "counts as an answer that cannot be read"),
    *json_limits("the head of a backup", limits.BACKUP_HEAD_JSON, "`restore` refuses it and changes nothing"),
    limit(
        "the XML of a message",
        limits.MAX_XML_CHARACTERS,
        "characters",
        "the message is published as `unsupported`",
    ),
    limit(
        "elements in the XML of a message",
        limits.MAX_XML_ELEMENTS,
        "elements",
        "the message is published as `unsupported`",
    ),
    limit(
        "size of an unpacked backup, in sizes of the packed one",
        limits.MAX_UNPACKED_RATIO,
        "times",
        "above 64 MiB `restore` refuses it and changes nothing",
    ),
    *json_limits("a row of a restored store", limits.STORED_JSON, "`restore` refuses it and changes nothing"),
    *json_limits("`people.json`", limits.PEOPLE_FILE_JSON, "counts as damaged and is set aside"),
    *json_limits("a saved login", limits.SAVED_LOGIN_JSON, "counts as damaged and is set aside"),
    limit(
        "share of `storage.max_size` that commands may fill",
        limits.MAX_COMMAND_STORE_SHARE,
        "of it",
        "result `rejected`, code `storage_full`; messages are still stored",
    ),
    limit(
        "a text that WeChat makes from a template",
        system_texts.MAX_FILLED_CHARACTERS,
        "characters",
        "is cut",
    ),
    limit(
        "a text of WeChat that may be the news of a group",
        membership_texts.MAX_NOTICE_CHARACTERS,
        "characters",
        "is published as text only",
    ),
    limit(
        "a text of WeChat that may be about money",
        system_texts.MAX_SENTENCE_CHARACTERS,
        "characters",
        "is published as text only",
    ),
    limit("articles of a message", app_messages.MAX_ARTICLES, "articles", LEFT_OUT),
    limit("messages of a forwarded chat", app_messages.MAX_RECORD_ITEMS, "messages", LEFT_OUT),
    limit("a line that shows a message of another kind", markup.MAX_LINE_CHARACTERS, "characters", "is cut"),
    limit(
        "the picture of a scanner, in base64",
        webwx_responses.MAX_AVATAR_CHARACTERS,
        "characters",
        "is ignored",
    ),
    limit("people whom one event names as candidates", evidence.MAX_CANDIDATES, "people", LEFT_OUT),
    limit("a name of a contact", webwx_contacts.MAX_CONTACT_NAME_CHARACTERS, "characters", "is cut"),
    limit("pages of the address book", contact_list.MAX_CONTACT_PAGES, "pages", LOOKED_UP),
    limit(
        "recent chats of the phone that wait to be looked up",
        webwx_receiver.MAX_PENDING_NAMES,
        "chats",
        LOOKED_UP,
    ),
    limit(
        "an answer that is read as an error in place of a file",
        download.MAX_ERROR_BODY_BYTES,
        "bytes",
        "counts as the file",
    ),
    limit("cookies of WeChat", webwx_cookies.MAX_COOKIES, "cookies", "counts as none"),
    limit("a cookie of WeChat", webwx_cookies.MAX_COOKIE_CHARACTERS, "characters", "counts as none"),
    limit("the end of a cookie", webwx_cookies.MAX_DATE_CHARACTERS, "characters", "counts as none"),
    limit("digits of a number that WeChat writes as text", json_reader.MAX_DIGITS, "digits", "counts as 0"),
    limit(
        "the content of a QR code (iLink)",
        ilink_responses.MAX_QR_CONTENT_CHARACTERS,
        "characters",
        "counts as no code",
    ),
    limit(
        "the error text of a server that is shown (iLink)",
        ilink_responses.MAX_ERROR_CHARACTERS,
        "characters",
        "is cut",
    ),
    limit(
        "an address or a parameter of a file (iLink)",
        crypto.MAX_PARAMETER_CHARACTERS,
        "characters",
        "counts as none",
    ),
    limit("the text of a quoted message (iLink)", messages.MAX_QUOTE_CHARACTERS, "characters", "is cut"),
    limit(
        "the number of a quoted part in its text (iLink)",
        messages.MAX_OCCURRENCES,
        "",
        "counts as the whole text",
    ),
    limit("items of a message (iLink)", messages.MAX_ITEMS, "items", LEFT_OUT),
    limit("saved logins (iLink)", ilink_session.MAX_SAVED_BOTS, "logins", "the oldest is forgotten"),
    limit("chats of a saved login (iLink)", ilink_session.MAX_CHATS_PER_BOT, "chats", OLDEST_FORGOTTEN),
    limit(
        "chats whose tokens a position in the messages holds (iLink)",
        ilink_receiver.MAX_CHATS_IN_CURSOR,
        "chats",
        "the newest are kept",
    ),
    limit(
        "a message of WeCom, without its files",
        wecom_connection.MAX_FRAME_BYTES,
        "bytes",
        "the connection is closed and made anew",
    ),
    limit(
        "messages of WeCom that wait to be stored",
        wecom_connection.MAX_WAITING_CALLBACKS,
        "messages",
        WECOM_CLOSED,
    ),
    limit(
        "size of the messages of WeCom that wait to be stored",
        wecom_connection.MAX_WAITING_BYTES,
        "bytes",
        WECOM_CLOSED,
    ),
    limit(
        "WeCom's words about an error that are shown",
        wecom_frames.MAX_ERROR_CHARACTERS,
        "characters",
        "is cut",
    ),
    limit(
        "an id of WeCom", wecom_messages.MAX_ID_CHARACTERS, "characters", "counts as a message without one"
    ),
    limit("parts of a message (WeCom)", wecom_messages.MAX_PARTS, "parts", LEFT_OUT),
    limit(
        "the text of a quoted message (WeCom)", wecom_messages.MAX_QUOTE_CHARACTERS, "characters", "is cut"
    ),
    limit("the address of a file (WeCom)", wecom_media.MAX_URL_CHARACTERS, "characters", "counts as none"),
    limit("the content of a QR code (WeCom)", wecom_qr.MAX_URL_CHARACTERS, "characters", "counts as no code"),
    limit("chats of a saved login (WeCom)", wecom_session.MAX_CHATS, "chats", OLDEST_FORGOTTEN),
    limit(
        "the answer of Home Assistant to `wx2mqtt setup`",
        limits.MAX_SUPERVISOR_ANSWER_BYTES,
        "bytes",
        "counts as none",
    ),
)
