"""The limits of what is parsed, kept in memory and stored, as far as several modules need them.

`tests/docs/limit_table.py` lists all limits, with what happens beyond; docs/en/limits.md shows it.
"""

from __future__ import annotations

from wx2mqtt.bounded_json import JsonBounds

KIB = 1024
MIB = 1024 * KIB

# --- commands and requests ---

# Nearly all of it may be a base64 `data`, of a file of 27 MB; larger files are published as bytes.
COMMAND_JSON = JsonBounds(max_bytes=36 * MIB, max_depth=64, max_values=10_000)
# A request has no file, apart from `send`, which is a command.
REQUEST_JSON = JsonBounds(max_bytes=256 * KIB, max_depth=64, max_values=10_000)
# What WeCom's group robot takes: a picture of 2 MB in base64.
ROBOT_JSON = JsonBounds(max_bytes=3 * MIB, max_depth=64, max_values=10_000)
# A group of 2,000 alerts of Alertmanager or Grafana.
ALERTS_JSON = JsonBounds(max_bytes=4 * MIB, max_depth=64, max_values=100_000)
# Of a body to ntfy's interface that is a text; a longer one is a file, as ntfy makes one.
MAX_NTFY_TEXT_BYTES = 4096
# Far more than 99 messages, the most into which a long text is split; in JSON it is the number of characters.
MAX_TEXT_PAYLOAD_BYTES = 4 * MIB
# Of `path`, `url`, `name` and `message_id`: they are stored with the command.
MAX_FIELD_CHARACTERS = 8192
# A group of WeChat has 500 members.
MAX_MENTIONS = 500
MAX_MENTION_CHARACTERS = 256
MAX_COMMAND_ID_CHARACTERS = 128
# It is echoed, and stored with a command.
MAX_TRANSACTION_BYTES = 8 * KIB
# Of a remark or of a group's name; WeChat itself takes about 18 (webwx 6.1.1).
MAX_NAME_CHARACTERS = 100
MAX_CODE_DIGITS = 12
# A longer `ttl` means "for ever".
MAX_TTL_SECONDS = 10 * 365 * 86_400
# The largest integer of SQLite; a larger `limit`, `since`, … counts as this one.
MAX_REQUEST_INTEGER = 2**63 - 1
# A level of a topic.
MAX_TOPIC_NAME_BYTES = 1024
# Of a name that the owner gives, or the bridge makes, for a person.
MAX_CHOSEN_TOPIC_NAME_BYTES = 64
# File systems take 255, and the other side may append to a name.
MAX_FILENAME_BYTES = 240
# On one letter of a name. No language has more than a few; UAX #15 bounds them at so many, too.
MAX_MARKS_IN_A_ROW = 30
# The largest file that WeChat takes, as payload with its topic: a broker drops what is larger without a word.
MAX_INCOMING_PACKET_BYTES = 101 * MIB
# Reading from the broker is paused while deliveries that are not stored yet take more memory than this.
MAX_PENDING_BYTES = 64 * MIB
# Of that, for each delivery besides its content: its objects, and the task that answers a request.
DELIVERY_OVERHEAD_BYTES = 4 * KIB
# Requests that are being answered: some wait for WeChat. At QoS 1 the broker sends 200 at a time.
MAX_OPEN_REQUESTS = 2000
# Of each value that a sentence quotes: a result repeats what was wrong, not all of it.
MAX_FACT_CHARACTERS = 300

# For a connection over HTTP: name, TCP and TLS.
HTTP_CONNECT_SECONDS = 10.0
# A transfer of a file takes no longer than this and the time of its bytes at the rate below.
MAX_TRANSFER_SECONDS = 120
MIN_TRANSFER_BYTES_PER_SECOND = 100_000

# --- what is published ---

# Characters of text on `last`.
MAX_LAST_TEXT_CHARACTERS = 1000
# Bytes on `text/<user>`, for devices with a small buffer.
MAX_PLAIN_TEXT_BYTES = 200
MAX_HISTORY_MESSAGES = 500
# Of an answer to `questions`: the newest ones.
MAX_LISTED_QUESTIONS = 100
# The largest answer of `history`, also where the broker has no or a higher limit.
MAX_HISTORY_ANSWER_BYTES = 1_000_000
# The largest file that is part of an answer: several copies of it are in memory meanwhile.
MAX_INLINE_FILE_BYTES = 1_000_000

# --- the configuration ---

# Some twenty thousand contacts.
MAX_CONFIG_BYTES = 1_000_000
MAX_CONFIG_LEVELS = 20
# Aliases can multiply what a small file holds.
MAX_CONFIG_VALUES = 50_000
MAX_SECRET_BYTES = 64 * KIB
# Of Home Assistant, which `wx2mqtt setup` asks for its broker.
MAX_SUPERVISOR_ANSWER_BYTES = 64 * KIB

# --- the control socket ---

# An operation has names and ids.
CONTROL_REQUEST_JSON = JsonBounds(max_bytes=64 * KIB, max_depth=8, max_values=1000)
# A directory of 5,000 people takes about 1 MB.
CONTROL_ANSWER_JSON = JsonBounds(max_bytes=16 * MIB, max_depth=64, max_values=1_000_000)
MAX_CONTROL_CONNECTIONS = 100

# --- WeChat ---

# 300 groups of 500 members in one answer have two million values.
WECHAT_JSON = JsonBounds(max_bytes=64 * MIB, max_depth=64, max_values=4_000_000)
# A forwarded chat of a hundred messages has about 100,000.
MAX_XML_CHARACTERS = 1 << 20
# Bounds the depth, too.
MAX_XML_ELEMENTS = 20_000

# --- the store ---

# The head of a backup lists the database and one saved login for each account.
BACKUP_HEAD_JSON = JsonBounds(max_bytes=1_000_000, max_depth=4, max_values=20_000)
# A store of text becomes a tenth when it is packed; gzip can make a thousandth of zeros.
MAX_UNPACKED_RATIO = 100
# A small backup may unpack to so much whatever its ratio is.
MIN_UNPACKED_BYTES = 64 * MIB
# A row of a restored store: the deepest is a command with a `transaction`, the largest a refused command of
# a version that stored its content.
STORED_JSON = JsonBounds(max_bytes=128 * MIB, max_depth=80, max_values=1_000_000)
# An address book of 10,000 people has 300,000 values and 6 MB.
PEOPLE_FILE_JSON = JsonBounds(max_bytes=128 * MIB, max_depth=16, max_values=3_000_000)
SAVED_LOGIN_JSON = JsonBounds(max_bytes=4 * MIB, max_depth=16, max_values=100_000)
# Of `storage.max_size`: above it commands are refused, so that messages have room, which come once.
MAX_COMMAND_STORE_SHARE = 0.95


def transfer_seconds(size: int) -> float:
    """Returns how long the transfer of a file of `size` bytes may take as a whole."""
    return MAX_TRANSFER_SECONDS + size / MIN_TRANSFER_BYTES_PER_SECOND
