"""All limits of what is parsed, kept in memory, sent and stored, and what happens beyond.

limits.md of docs/en and docs/zh shows the table. Each row has a test that drives it to its limit and one
beyond, and each constant `MAX_…` of the program is in a row or exempted with a reason
(tests/unit/test_limit_constants.py).
"""

from __future__ import annotations

from tests.docs.limit_rows import (
    BAD_COMMAND,
    BAD_REQUEST,
    CONNECTION_CLOSED,
    COUNTED,
    IDLE_CLOSED,
    LEFT_OUT,
    OLDEST_FORGOTTEN,
    READING_PAUSES,
    REFUSED,
    TOO_LARGE,
    WAITS,
    json_limits,
    limit,
)
from tests.docs.wechat_limits import WECHAT_AND_STORE_LIMITS
from wx2mqtt import bounded_json, buttons, limits
from wx2mqtt.app import operations, redaction
from wx2mqtt.bridge import (
    inflight,
    journal_lookups,
    message_lines,
    outbox_rows,
    retained_commands,
    text_split,
)
from wx2mqtt.bridge.commands import (
    fallback_alerts,
    fallback_queue,
    file_preparation,
    outcomes,
    waiting_commands,
)
from wx2mqtt.bridge.people import directory
from wx2mqtt.external import local_files, url_fetch
from wx2mqtt.mqtt import connection_errors, packets, reconnect
from wx2mqtt.mqtt import options as broker_options
from wx2mqtt.store import mapped_files
from wx2mqtt.web import auth, http_limits, login_page, media_headers
from wx2mqtt.web import request_context as web_request
from wx2mqtt.web.page import contacts, forms, live
from wx2mqtt.web.senders import alert_groups, call_log, interface, sender_rights, service_texts
from wx2mqtt.wechat.ilink.protocol import endpoints as ilink_endpoints
from wx2mqtt.wechat.webwx.protocol import endpoints as webwx_endpoints

_BRIDGE_LIMITS = (
    *json_limits("a command in JSON", limits.COMMAND_JSON, REFUSED),
    *json_limits("a request", limits.REQUEST_JSON, "error `bad_request` or `too_large`; nothing is parsed"),
    limit(
        "a number with a fraction or an exponent, in any JSON",
        bounded_json.MAX_NUMBER_CHARACTERS,
        "characters",
        "as for text that is no JSON",
    ),
    limit(
        "the text of a command",
        limits.MAX_TEXT_PAYLOAD_BYTES,
        "bytes",
        "result `rejected`, code `too_long`; what WeChat takes is less",
    ),
    limit("`id` of a command", limits.MAX_COMMAND_ID_CHARACTERS, "characters", BAD_COMMAND),
    limit(
        "`path`, `url`, `name` and `message_id` of a command",
        limits.MAX_FIELD_CHARACTERS,
        "characters",
        BAD_COMMAND,
    ),
    limit("names in `mention`", limits.MAX_MENTIONS, "names", BAD_COMMAND),
    limit("a name in `mention`", limits.MAX_MENTION_CHARACTERS, "characters", BAD_COMMAND),
    limit("buttons of a question", buttons.MAX_BUTTONS, "buttons", BAD_COMMAND),
    limit("the text of a button", buttons.MAX_BUTTON_CHARACTERS, "characters", BAD_COMMAND),
    limit("the key of a button", buttons.MAX_BUTTON_KEY_CHARACTERS, "characters", BAD_COMMAND),
    limit("`ttl` of a command", limits.MAX_TTL_SECONDS, "seconds", "counts as the limit"),
    limit(
        "`transaction` of a request",
        limits.MAX_TRANSACTION_BYTES,
        "bytes",
        "error `bad_request`; of a text the beginning is echoed",
    ),
    limit("a remark or the name of a group", limits.MAX_NAME_CHARACTERS, "characters", BAD_REQUEST),
    limit("the `code` of a login", limits.MAX_CODE_DIGITS, "digits", BAD_REQUEST),
    limit("an integer in a request", limits.MAX_REQUEST_INTEGER, "", "counts as the limit"),
    limit("the name of a topic level in a request", limits.MAX_TOPIC_NAME_BYTES, "bytes", BAD_REQUEST),
    limit("the name of a file", limits.MAX_FILENAME_BYTES, "bytes", BAD_COMMAND),
    limit("marks in a row in a long name", limits.MAX_MARKS_IN_A_ROW, "marks", LEFT_OUT),
    limit(
        "a packet from the broker",
        limits.MAX_INCOMING_PACKET_BYTES,
        "bytes",
        "MQTT 5: the broker does not send it; else it is acknowledged and dropped, with a warning in the log",
    ),
    limit(
        "deliveries in memory that are not stored yet, with 4 KiB for each",
        limits.MAX_PENDING_BYTES,
        "bytes",
        READING_PAUSES,
    ),
    limit(
        "the fetch or the upload of a command's file, and a second more for each 100 kB",
        limits.MAX_TRANSFER_SECONDS,
        "seconds",
        "a fetch: result `rejected`, code `fetch_failed`; an upload is begun again until the `ttl` is over",
    ),
    limit(
        "commands of a chat whose `url` is not fetched yet",
        file_preparation.MAX_UNFETCHED_COMMANDS,
        "commands",
        "result `rejected`, code `rate_limited`",
    ),
    limit(
        "alerts of the fallback in a minute",
        fallback_queue.MAX_ALERTS_PER_MINUTE,
        "alerts",
        "all that wait go out in one summary",
    ),
    limit(
        "the text of a summary of the fallback",
        fallback_alerts.MAX_SUMMARY_CHARACTERS,
        "characters",
        COUNTED,
    ),
    limit("requests that are open at a time", limits.MAX_OPEN_REQUESTS, "requests", "error `rate_limited`"),
    limit("the text on `last`", limits.MAX_LAST_TEXT_CHARACTERS, "characters", "is cut, with `truncated`"),
    limit("the text on `text/<user>`", limits.MAX_PLAIN_TEXT_BYTES, "bytes", "is cut"),
    limit(
        "messages in an answer of `history`",
        limits.MAX_HISTORY_MESSAGES,
        "messages",
        "the answer says `more`",
    ),
    limit(
        "questions in an answer of `questions`",
        limits.MAX_LISTED_QUESTIONS,
        "questions",
        "the answer says `more`",
    ),
    limit(
        "size of an answer of `history`", limits.MAX_HISTORY_ANSWER_BYTES, "bytes", "the answer says `more`"
    ),
    limit(
        "a file in an answer of `media`",
        limits.MAX_INLINE_FILE_BYTES,
        "bytes",
        "error `too_large`, which says where the file is",
    ),
    limit(
        "the configuration file", limits.MAX_CONFIG_BYTES, "bytes", "the file cannot be used, exit code 78"
    ),
    limit(
        "depth of the configuration file",
        limits.MAX_CONFIG_LEVELS,
        "levels",
        "the file cannot be used, exit code 78",
    ),
    limit(
        "values in the configuration file, aliases counted each time",
        limits.MAX_CONFIG_VALUES,
        "values",
        "the file cannot be used, exit code 78",
    ),
    limit("the file of a secret", limits.MAX_SECRET_BYTES, "bytes", "the file cannot be used, exit code 78"),
    limit("a value that a sentence quotes", limits.MAX_FACT_CHARACTERS, "characters", "is cut"),
    *json_limits("a request on the control socket", limits.CONTROL_REQUEST_JSON, "the answer is an error"),
    *json_limits(
        "an answer on the control socket", limits.CONTROL_ANSWER_JSON, "the command line says so and ends"
    ),
    limit(
        "connections to the control socket at a time",
        limits.MAX_CONTROL_CONNECTIONS,
        "connections",
        "further ones are closed",
    ),
    limit(
        "publishes that wait for the broker's acknowledgement",
        inflight.MAX_UNACKED_PUBLISHES,
        "publishes",
        WAITS,
    ),
    limit("publishes in memory that are due", outbox_rows.MAX_ROWS_IN_MEMORY, "publishes", WAITS),
    limit("commands for one chat in memory", waiting_commands.MAX_COMMANDS_PER_CHAT, "commands", WAITS),
    limit("commands in memory", waiting_commands.MAX_COMMANDS_IN_MEMORY, "commands", WAITS),
    limit(
        "commands in memory (iLink, where the most important goes first)",
        waiting_commands.MAX_SCANNED_ROWS,
        "commands",
        WAITS,
    ),
    limit(
        "a picture or a video that goes out (web WeChat)",
        webwx_endpoints.MAX_WEB_UPLOAD_BYTES,
        "bytes",
        TOO_LARGE,
    ),
    limit("a file that goes out (iLink)", ilink_endpoints.MAX_FILE_BYTES, "bytes", TOO_LARGE),
    limit(
        "messages for one long text",
        text_split.MAX_TEXT_PARTS,
        "messages",
        "result `rejected`, code `too_long`",
    ),
    limit(
        "the directory on `contacts`",
        directory.MAX_DIRECTORY_BYTES,
        "bytes",
        "only pinned and exposed people are in it; `complete` is false",
    ),
    limit(
        "the text of a quoted message (web WeChat)",
        journal_lookups.MAX_QUOTE_CHARACTERS,
        "characters",
        "is cut",
    ),
    limit(
        "the last messages that died three times with the process",
        mapped_files.MAX_FATAL_MESSAGES,
        "messages",
        "the oldest is forgotten",
    ),
    limit(
        "redirects of a `url`", url_fetch.MAX_REDIRECTS, "redirects", "result `rejected`, code `fetch_failed`"
    ),
    limit(
        "`path` of a command, as the system opens it",
        local_files.MAX_PATH_BYTES,
        "bytes",
        "result `rejected`, code `bad_file`",
    ),
    limit("properties of an MQTT 5 packet", packets.MAX_PROPERTIES, "properties", "the rest is ignored"),
    limit(
        "a packet of the broker without message", packets.MAX_CONTROL_PACKET_BYTES, "bytes", CONNECTION_CLOSED
    ),
    limit(
        "other servers that a broker names",
        broker_options.MAX_SERVER_REFERENCES,
        "servers",
        "the rest is ignored",
    ),
    limit(
        "such servers that are followed in a row",
        reconnect.MAX_REDIRECTS,
        "servers",
        "the next address of `mqtt.url` is tried",
    ),
    limit("the reason that a broker states", connection_errors.MAX_REASON_CHARACTERS, "characters", "is cut"),
    limit(
        "each list of `wx2mqtt journal list`",
        operations.MAX_LISTED_COMMANDS,
        "commands",
        "the newest are shown",
    ),
    limit(
        "cleared topics in memory (MQTT 3.1.1)",
        retained_commands.MAX_PENDING_CLEARS,
        "topics",
        OLDEST_FORGOTTEN,
    ),
    limit("users in health who got nothing", outcomes.MAX_FAILING_USERS, "users", OLDEST_FORGOTTEN),
    limit("commands that were not sent, in the log of a minute", outcomes.MAX_LOG_LINES, "lines", COUNTED),
    limit("a text in a line of the log", redaction.MAX_TEXT_CHARACTERS, "characters", "is cut"),
    limit(
        "a traceback in the log",
        redaction.MAX_TRACEBACK_CHARACTERS,
        "characters",
        "its beginning is left out",
    ),
    limit(
        "lines of a traceback in the log",
        redaction.MAX_TRACEBACK_LINES,
        "lines",
        "the first ones are left out",
    ),
    limit("depth of a value in the log", redaction.MAX_DEPTH, "levels", "is written as `…`"),
)

_WEB_LIMITS = (
    limit(
        "the head of a request to the web server",
        web_request.MAX_HEAD_BYTES,
        "bytes",
        "status 431; the connection is closed",
    ),
    limit(
        "what a client sends during a request besides the body that is read",
        http_limits.MAX_UNREAD_BYTES,
        "bytes",
        "the connection is closed",
    ),
    limit("the body of a request to the web server", web_request.MAX_BODY_BYTES, "bytes", "status 413"),
    limit("fields of a form", web_request.MAX_FORM_FIELDS, "fields", "status 413"),
    limit(
        "commands of a sender over HTTP without a result",
        sender_rights.MAX_UNFINISHED,
        "commands",
        "status 429",
    ),
    limit(
        "lines of the log about accepted calls of one sender, in a minute",
        call_log.MAX_ACCEPTED_LINES,
        "lines",
        COUNTED,
    ),
    limit("fields of a form or a query from a sender", interface.MAX_FORM_FIELDS, "fields", "status 400"),
    *json_limits("a message to the imitated WeCom robot", limits.ROBOT_JSON, "status 400 or 413"),
    *json_limits("alerts from Alertmanager or Grafana", limits.ALERTS_JSON, "status 400 or 413"),
    limit(
        "a body to ntfy's interface that is a text",
        limits.MAX_NTFY_TEXT_BYTES,
        "bytes",
        "it is sent as a file",
    ),
    limit(
        "markdown from a sender whose marks are taken out",
        service_texts.MAX_MARKDOWN_CHARACTERS,
        "characters",
        "it is sent with its marks",
    ),
    limit("alerts that one text names", alert_groups.MAX_NAMED_ALERTS, "alerts", "the rest is counted"),
    limit("the line of an alert", alert_groups.MAX_LINE_CHARACTERS, "characters", "it is cut"),
    limit("links in a text of alerts", alert_groups.MAX_LINKS, "links", "the others are left out"),
    limit("connections to the web server at a time", http_limits.MAX_CONNECTIONS, "connections", IDLE_CLOSED),
    limit(
        "connections to the web server from one address (IPv6: one /64)",
        http_limits.MAX_CONNECTIONS_PER_ADDRESS,
        "connections",
        IDLE_CLOSED,
    ),
    limit(
        "further connections to the web server, which may ask for health only",
        http_limits.RESERVED_CONNECTIONS,
        "connections",
        IDLE_CLOSED,
    ),
    limit(
        "pages that are kept up to date at a time",
        live.MAX_VIEWERS,
        "pages",
        "status 503; a page is reloaded by hand",
    ),
    limit(
        "browsers that are logged in",
        auth.MAX_SESSIONS,
        "browsers",
        "the one that logged in the longest ago is logged out",
    ),
    limit(
        "addresses whose wrong passwords or tokens are counted",
        auth.MAX_ADDRESSES,
        "addresses",
        "the one whose last failure is the oldest is forgotten",
    ),
    limit(
        "login forms of one address that are read at a time", login_page.MAX_OPEN_FORMS, "forms", "status 429"
    ),
    limit("a search on the page", forms.MAX_QUERY_CHARACTERS, "characters", "is cut"),
    limit("the first contact that the page shows", contacts.MAX_OFFSET, "contacts", "counts as the limit"),
    limit("a message from the page", forms.MAX_FORM_TEXT_CHARACTERS, "characters", "is cut"),
    limit("a picture in a list of the page", message_lines.MAX_PREVIEW_BYTES, "bytes", "is not shown there"),
    limit(
        "the name of a file that a browser downloads",
        media_headers.MAX_NAME_BYTES,
        "bytes",
        "is cut before its suffix",
    ),
)

LIMITS = (*_BRIDGE_LIMITS, *_WEB_LIMITS, *WECHAT_AND_STORE_LIMITS)
