"""All limits of what is parsed, kept in memory, sent and stored, and what happens beyond.

limits.md of docs/en and docs/zh shows the table. Each row has a test that drives it to its limit and one
beyond, and each constant `MAX_…` of the program is in a row or exempted with a reason
(tests/unit/test_limit_constants.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from wx2mqtt import bounded_json, limits
from wx2mqtt.app import admin, redaction
from wx2mqtt.bounded_json import JsonBounds
from wx2mqtt.bridge import inbound_rows, inflight, outbox_reader, view
from wx2mqtt.bridge.commands import outcomes, queues, validation
from wx2mqtt.bridge.people import directory, evidence
from wx2mqtt.external import local_files, url_fetch
from wx2mqtt.mqtt import options as broker_options
from wx2mqtt.mqtt import packets, reason_codes, reconnect
from wx2mqtt.store import unsynced_files
from wx2mqtt.web import auth, file_response, http_limits, login_page
from wx2mqtt.web import request as web_request
from wx2mqtt.web.page import contacts, forms, live
from wx2mqtt.wechat import http_connection, json_reader
from wx2mqtt.wechat.ilink import receiver as ilink_receiver
from wx2mqtt.wechat.ilink.protocol import crypto, messages, quotes
from wx2mqtt.wechat.ilink.protocol import endpoints as ilink_endpoints
from wx2mqtt.wechat.ilink.protocol import responses as ilink_responses
from wx2mqtt.wechat.ilink.protocol import session as ilink_session
from wx2mqtt.wechat.webwx import contact_list, download
from wx2mqtt.wechat.webwx import receiver as webwx_receiver
from wx2mqtt.wechat.webwx.protocol import (
    app_messages,
    group_notices,
    link_messages,
    markup,
    money_messages,
    system_messages,
)
from wx2mqtt.wechat.webwx.protocol import contacts as webwx_contacts
from wx2mqtt.wechat.webwx.protocol import endpoints as webwx_endpoints
from wx2mqtt.wechat.webwx.protocol import responses as webwx_responses
from wx2mqtt.wechat.webwx.protocol import session as webwx_session


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One row of the table: what is bounded, at how much, and what happens to more than that."""

    bounded: str
    value: float
    unit: str
    beyond: str


def _limit(bounded: str, value: float, unit: str, beyond: str) -> Limit:
    return Limit(bounded=bounded, value=value, unit=unit, beyond=beyond)


def _json_limits(text: str, bounds: JsonBounds, beyond: str) -> tuple[Limit, ...]:
    return (
        _limit(f"size of {text}", bounds.max_bytes, "bytes", beyond),
        _limit(f"depth of {text}", bounds.max_depth, "levels", beyond),
        _limit(f"values in {text}", bounds.max_values, "values", beyond),
    )


_REFUSED = "result `rejected`, code `bad_command` or `too_large`; nothing is parsed"
_BAD_COMMAND = "result `rejected`, code `bad_command`"
_BAD_REQUEST = "error `bad_request`"
_TOO_LARGE = "result `rejected`, code `too_large`"
_READING_PAUSES = "reading from the other side pauses"
_WAITS = "the rest waits in the store"
_IDLE_CLOSED = "the one that is idle the longest is closed; without an idle one status 503"
_HUNG_UP = "the connection to the broker is closed"
_LEFT_OUT = "the rest is left out"
_COUNTED = "the rest is counted in one line"
_OLDEST_FORGOTTEN = "the oldest are forgotten"
_LOOKED_UP = "the rest is looked up when somebody writes"

_BRIDGE_LIMITS = (
    *_json_limits("a command in JSON", limits.COMMAND_JSON, _REFUSED),
    *_json_limits("a request", limits.REQUEST_JSON, "error `bad_request` or `too_large`; nothing is parsed"),
    _limit(
        "a number with a fraction or an exponent, in any JSON",
        bounded_json.MAX_NUMBER_CHARACTERS,
        "characters",
        "as for text that is no JSON",
    ),
    _limit(
        "the text of a command",
        limits.MAX_TEXT_PAYLOAD_BYTES,
        "bytes",
        "result `rejected`, code `too_long`; what WeChat takes is less",
    ),
    _limit("`id` of a command", limits.MAX_COMMAND_ID_CHARACTERS, "characters", _BAD_COMMAND),
    _limit(
        "`path`, `url`, `name` and `message_id` of a command",
        limits.MAX_FIELD_CHARACTERS,
        "characters",
        _BAD_COMMAND,
    ),
    _limit("names in `mention`", limits.MAX_MENTIONS, "names", _BAD_COMMAND),
    _limit("a name in `mention`", limits.MAX_MENTION_CHARACTERS, "characters", _BAD_COMMAND),
    _limit("`ttl` of a command", limits.MAX_TTL_SECONDS, "seconds", "counts as the limit"),
    _limit(
        "`transaction` of a request",
        limits.MAX_TRANSACTION_BYTES,
        "bytes",
        "error `bad_request`; of a text the beginning is echoed",
    ),
    _limit("a remark or the name of a group", limits.MAX_NAME_CHARACTERS, "characters", _BAD_REQUEST),
    _limit("the `code` of a login", limits.MAX_CODE_DIGITS, "digits", _BAD_REQUEST),
    _limit("an integer in a request", limits.MAX_REQUEST_INTEGER, "", "counts as the limit"),
    _limit("the name of a topic level in a request", limits.MAX_TOPIC_LEVEL_BYTES, "bytes", _BAD_REQUEST),
    _limit("the name of a file", limits.MAX_FILENAME_BYTES, "bytes", _BAD_COMMAND),
    _limit("marks in a row in a long name", limits.MAX_MARKS_IN_A_ROW, "marks", _LEFT_OUT),
    _limit(
        "a packet from the broker",
        limits.MAX_INCOMING_PACKET_BYTES,
        "bytes",
        "MQTT 5: the broker does not send it; else it is acknowledged and dropped, with a warning in the log",
    ),
    _limit(
        "deliveries in memory that are not stored yet, with 4 KiB for each",
        limits.MAX_PENDING_BYTES,
        "bytes",
        _READING_PAUSES,
    ),
    _limit("requests that are open at a time", limits.MAX_OPEN_REQUESTS, "requests", "error `rate_limited`"),
    _limit("the text on `last`", limits.MAX_LAST_TEXT_CHARACTERS, "characters", "is cut, with `truncated`"),
    _limit("the text on `text/<user>`", limits.MAX_PLAIN_TEXT_BYTES, "bytes", "is cut"),
    _limit(
        "messages in an answer of `history`",
        limits.MAX_HISTORY_MESSAGES,
        "messages",
        "the answer says `more`",
    ),
    _limit(
        "size of an answer of `history`", limits.MAX_HISTORY_ANSWER_BYTES, "bytes", "the answer says `more`"
    ),
    _limit(
        "a file in an answer of `media`",
        limits.MAX_INLINE_FILE_BYTES,
        "bytes",
        "error `too_large`, which says where the file is",
    ),
    _limit(
        "the configuration file", limits.MAX_CONFIG_BYTES, "bytes", "the file cannot be used, exit code 78"
    ),
    _limit(
        "depth of the configuration file",
        limits.MAX_CONFIG_LEVELS,
        "levels",
        "the file cannot be used, exit code 78",
    ),
    _limit(
        "values in the configuration file, aliases counted each time",
        limits.MAX_CONFIG_VALUES,
        "values",
        "the file cannot be used, exit code 78",
    ),
    _limit("the file of a secret", limits.MAX_SECRET_BYTES, "bytes", "the file cannot be used, exit code 78"),
    _limit("a value that a sentence quotes", limits.MAX_FACT_CHARACTERS, "characters", "is cut"),
    *_json_limits("a request on the control socket", limits.CONTROL_REQUEST_JSON, "the answer is an error"),
    *_json_limits(
        "an answer on the control socket", limits.CONTROL_ANSWER_JSON, "the command line says so and ends"
    ),
    _limit(
        "connections to the control socket at a time",
        limits.MAX_CONTROL_CONNECTIONS,
        "connections",
        "further ones are closed",
    ),
    _limit(
        "publishes that wait for the broker's acknowledgement",
        inflight.MAX_UNACKED_PUBLISHES,
        "publishes",
        _WAITS,
    ),
    _limit("publishes in memory that are due", outbox_reader.MAX_ROWS_IN_MEMORY, "publishes", _WAITS),
    _limit("commands for one chat in memory", queues.MAX_COMMANDS_PER_CHAT, "commands", _WAITS),
    _limit("commands in memory", queues.MAX_COMMANDS_IN_MEMORY, "commands", _WAITS),
    _limit(
        "commands in memory (iLink, where the most important goes first)",
        queues.MAX_SCANNED_ROWS,
        "commands",
        _WAITS,
    ),
    _limit(
        "a picture or a video that goes out (web WeChat)",
        webwx_endpoints.MAX_WEB_UPLOAD_BYTES,
        "bytes",
        _TOO_LARGE,
    ),
    _limit("a file that goes out (iLink)", ilink_endpoints.MAX_FILE_BYTES, "bytes", _TOO_LARGE),
    _limit(
        "messages for one long text",
        validation.MAX_TEXT_PARTS,
        "messages",
        "result `rejected`, code `too_long`",
    ),
    _limit(
        "the directory on `contacts`",
        directory.MAX_DIRECTORY_BYTES,
        "bytes",
        "only pinned and exposed people are in it; `complete` is false",
    ),
    _limit(
        "the text of a quoted message (web WeChat)", inbound_rows.MAX_QUOTE_CHARACTERS, "characters", "is cut"
    ),
    _limit(
        "the last messages that died twice with the process",
        unsynced_files.MAX_FATAL_MESSAGES,
        "messages",
        "the oldest is forgotten",
    ),
    _limit(
        "redirects of a `url`", url_fetch.MAX_REDIRECTS, "redirects", "result `rejected`, code `fetch_failed`"
    ),
    _limit(
        "`path` of a command, as the system opens it",
        local_files.MAX_PATH_BYTES,
        "bytes",
        "result `rejected`, code `bad_file`",
    ),
    _limit("properties of an MQTT 5 packet", packets.MAX_PROPERTIES, "properties", "the rest is ignored"),
    _limit("a packet of the broker without message", packets.MAX_CONTROL_PACKET_BYTES, "bytes", _HUNG_UP),
    _limit(
        "other servers that a broker names",
        broker_options.MAX_SERVER_REFERENCES,
        "servers",
        "the rest is ignored",
    ),
    _limit(
        "such servers that are followed in a row",
        reconnect.MAX_REDIRECTS,
        "servers",
        "the next address of `mqtt.url` is tried",
    ),
    _limit("the reason that a broker states", reason_codes.MAX_REASON_CHARACTERS, "characters", "is cut"),
    _limit(
        "each list of `wx2mqtt journal list`", admin.MAX_LISTED_COMMANDS, "commands", "the newest are shown"
    ),
    _limit("users in health who got nothing", outcomes.MAX_FAILING_USERS, "users", _OLDEST_FORGOTTEN),
    _limit("commands that were not sent, in the log of a minute", outcomes.MAX_LOG_LINES, "lines", _COUNTED),
    _limit("a text in a line of the log", redaction.MAX_TEXT_CHARACTERS, "characters", "is cut"),
    _limit(
        "a traceback in the log",
        redaction.MAX_TRACEBACK_CHARACTERS,
        "characters",
        "its beginning is left out",
    ),
    _limit(
        "lines of a traceback in the log",
        redaction.MAX_TRACEBACK_LINES,
        "lines",
        "the first ones are left out",
    ),
    _limit("depth of a value in the log", redaction.MAX_DEPTH, "levels", "is written as `…`"),
)

_WEB_LIMITS = (
    _limit(
        "the head of a request to the web server",
        web_request.MAX_HEAD_BYTES,
        "bytes",
        "status 400; the connection is closed",
    ),
    _limit("the body of a request to the web server", web_request.MAX_BODY_BYTES, "bytes", "status 413"),
    _limit("fields of a form", web_request.MAX_FORM_FIELDS, "fields", "status 413"),
    _limit(
        "connections to the web server at a time", http_limits.MAX_CONNECTIONS, "connections", _IDLE_CLOSED
    ),
    _limit(
        "connections to the web server from one address (IPv6: one /64)",
        http_limits.MAX_CONNECTIONS_PER_ADDRESS,
        "connections",
        _IDLE_CLOSED,
    ),
    _limit(
        "further connections to the web server, which may ask for health only",
        http_limits.RESERVED_CONNECTIONS,
        "connections",
        _IDLE_CLOSED,
    ),
    _limit(
        "pages that are kept up to date at a time",
        live.MAX_VIEWERS,
        "pages",
        "status 503; a page is reloaded by hand",
    ),
    _limit(
        "browsers that are logged in",
        auth.MAX_SESSIONS,
        "browsers",
        "the one that logged in the longest ago is logged out",
    ),
    _limit(
        "addresses whose wrong passwords or tokens are counted",
        auth.MAX_ADDRESSES,
        "addresses",
        "the one whose last failure is the oldest is forgotten",
    ),
    _limit(
        "login forms of one address that are read at a time", login_page.MAX_OPEN_FORMS, "forms", "status 429"
    ),
    _limit("a search on the page", contacts.MAX_QUERY_CHARACTERS, "characters", "is cut"),
    _limit("the first contact that the page shows", contacts.MAX_OFFSET, "contacts", "counts as the limit"),
    _limit("a message from the page", forms.MAX_FORM_TEXT_CHARACTERS, "characters", "is cut"),
    _limit("a picture in a list of the page", view.MAX_PREVIEW_BYTES, "bytes", "is not shown there"),
    _limit(
        "the name of a file that a browser downloads",
        file_response.MAX_NAME_BYTES,
        "bytes",
        "is cut before its suffix",
    ),
)

_WECHAT_AND_STORE_LIMITS = (
    _limit("the head of an answer of WeChat", http_connection.MAX_HEAD_BYTES, "bytes", "counts as no answer"),
    _limit(
        "an answer of WeChat that is not read yet, for each connection",
        http_connection.MAX_BUFFERED_BYTES,
        "bytes",
        _READING_PAUSES,
    ),
    *_json_limits("an answer of WeChat", limits.WECHAT_JSON, "counts as an answer that cannot be read"),
    *_json_limits(
        "the head of a backup", limits.BACKUP_HEAD_JSON, "`restore` refuses it and changes nothing"
    ),
    _limit(
        "the XML of a message",
        limits.MAX_XML_CHARACTERS,
        "characters",
        "the message is published as `unsupported`",
    ),
    _limit(
        "elements in the XML of a message",
        limits.MAX_XML_ELEMENTS,
        "elements",
        "the message is published as `unsupported`",
    ),
    _limit(
        "size of an unpacked backup, in sizes of the packed one",
        limits.MAX_UNPACKED_RATIO,
        "times",
        "above 64 MiB `restore` refuses it and changes nothing",
    ),
    *_json_limits(
        "a row of a restored store", limits.STORED_JSON, "`restore` refuses it and changes nothing"
    ),
    *_json_limits("`people.json`", limits.PEOPLE_COPY_JSON, "counts as damaged and is set aside"),
    *_json_limits("a saved login", limits.SAVED_LOGIN_JSON, "counts as damaged and is set aside"),
    _limit(
        "share of `storage.max_size` that commands may fill",
        limits.MAX_COMMAND_STORE_SHARE,
        "of it",
        "result `rejected`, code `storage_full`; messages are still stored",
    ),
    _limit(
        "a text that WeChat makes from a template",
        system_messages.MAX_FILLED_CHARACTERS,
        "characters",
        "is cut",
    ),
    _limit(
        "a text of WeChat that may be the news of a group",
        group_notices.MAX_NOTICE_CHARACTERS,
        "characters",
        "is published as text only",
    ),
    _limit(
        "a text of WeChat that may be about money",
        money_messages.MAX_SENTENCE_CHARACTERS,
        "characters",
        "is published as text only",
    ),
    _limit("articles of a message", link_messages.MAX_ARTICLES, "articles", _LEFT_OUT),
    _limit("messages of a forwarded chat", app_messages.MAX_RECORD_ITEMS, "messages", _LEFT_OUT),
    _limit("a line that shows a message of another kind", markup.MAX_LINE_CHARACTERS, "characters", "is cut"),
    _limit(
        "the picture of a scanner, in base64",
        webwx_responses.MAX_AVATAR_CHARACTERS,
        "characters",
        "is ignored",
    ),
    _limit("people whom one event names as candidates", evidence.MAX_CANDIDATES, "people", _LEFT_OUT),
    _limit("a name of a contact", webwx_contacts.MAX_CONTACT_NAME_CHARACTERS, "characters", "is cut"),
    _limit("pages of the address book", contact_list.MAX_CONTACT_PAGES, "pages", _LOOKED_UP),
    _limit(
        "recent chats of the phone that wait to be looked up",
        webwx_receiver.MAX_PENDING_NAMES,
        "chats",
        _LOOKED_UP,
    ),
    _limit(
        "an answer that is read as an error in place of a file",
        download.MAX_ERROR_BODY_BYTES,
        "bytes",
        "counts as the file",
    ),
    _limit("cookies of WeChat", webwx_session.MAX_COOKIES, "cookies", "counts as none"),
    _limit("a cookie of WeChat", webwx_session.MAX_COOKIE_CHARACTERS, "characters", "counts as none"),
    _limit("the end of a cookie", webwx_session.MAX_DATE_CHARACTERS, "characters", "counts as none"),
    _limit("digits of a number that WeChat writes as text", json_reader.MAX_DIGITS, "digits", "counts as 0"),
    _limit(
        "the content of a QR code (iLink)",
        ilink_responses.MAX_QR_CONTENT_CHARACTERS,
        "characters",
        "counts as no code",
    ),
    _limit(
        "the error text of a server that is shown (iLink)",
        ilink_responses.MAX_ERROR_CHARACTERS,
        "characters",
        "is cut",
    ),
    _limit(
        "an address or a parameter of a file (iLink)",
        crypto.MAX_PARAMETER_CHARACTERS,
        "characters",
        "counts as none",
    ),
    _limit("the text of a quoted message (iLink)", quotes.MAX_QUOTE_CHARACTERS, "characters", "is cut"),
    _limit(
        "the number of a quoted part in its text (iLink)",
        quotes.MAX_OCCURRENCES,
        "",
        "counts as the whole text",
    ),
    _limit("items of a message (iLink)", messages.MAX_ITEMS, "items", _LEFT_OUT),
    _limit("saved logins (iLink)", ilink_session.MAX_SAVED_BOTS, "logins", "the oldest is forgotten"),
    _limit("chats of a saved login (iLink)", ilink_session.MAX_CHATS_PER_BOT, "chats", _OLDEST_FORGOTTEN),
    _limit(
        "chats whose tokens a position in the messages holds (iLink)",
        ilink_receiver.MAX_CHATS_IN_CURSOR,
        "chats",
        "the newest are kept",
    ),
    _limit(
        "the answer of Home Assistant to `wx2mqtt setup`",
        limits.MAX_SUPERVISOR_ANSWER_BYTES,
        "bytes",
        "counts as none",
    ),
)

LIMITS = (*_BRIDGE_LIMITS, *_WEB_LIMITS, *_WECHAT_AND_STORE_LIMITS)
