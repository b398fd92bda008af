"""The limits of what is parsed, kept in memory and stored, as far as several modules need them.

`tests/docs/limit_table.py` lists all limits, with what happens beyond; docs/en/limits.md shows it.
"""

from __future__ import annotations

from wx2mqtt.bounded_json import JsonBounds

KIB = 1024
MIB = 1024 * KIB

# --- commands and requests ---

# A command may hold a file of 27 MB as base64, its `data`. Larger files are published as bytes.
COMMAND_JSON = JsonBounds(max_bytes=36 * MIB, max_depth=64, max_values=10_000)
# A request has no file, apart from `send`, which is a command.
REQUEST_JSON = JsonBounds(max_bytes=256 * KIB, max_depth=64, max_values=10_000)
# WeCom's group robot takes a picture of 2 MB, in base64.
ROBOT_JSON = JsonBounds(max_bytes=3 * MIB, max_depth=64, max_values=10_000)
# Alertmanager or Grafana may report a group of 2,000 alerts.
ALERTS_JSON = JsonBounds(max_bytes=4 * MIB, max_depth=64, max_values=100_000)
# A longer text for ntfy's interface is sent as a file, as ntfy does it.
MAX_NTFY_TEXT_BYTES = 4096
# A long text is split into at most 99 messages, which hold far less. A text in JSON may have so many
# characters.
MAX_TEXT_PAYLOAD_BYTES = 4 * MIB
# The keys `path`, `url`, `name` and `message_id` are stored with the command.
MAX_FIELD_CHARACTERS = 8192
# A group of WeChat has 500 members.
MAX_MENTIONS = 500
MAX_MENTION_CHARACTERS = 256
MAX_COMMAND_ID_CHARACTERS = 128
# The key `transaction` is repeated in the answer, and stored with a command.
MAX_TRANSACTION_BYTES = 8 * KIB
# A remark, or the name of a group. WeChat itself takes about 18 (webwx 6.1.1).
MAX_NAME_CHARACTERS = 100
MAX_CODE_DIGITS = 12
# A longer `ttl` of a command means "for ever".
MAX_TTL_SECONDS = 10 * 365 * 86_400
# The largest integer of SQLite; a larger `limit`, `since`, … counts as this one.
MAX_REQUEST_INTEGER = 2**63 - 1
# The name of a person or group in a topic.
MAX_TOPIC_NAME_BYTES = 1024
# A topic name that the owner gives to a person, or that the bridge makes.
MAX_CHOSEN_TOPIC_NAME_BYTES = 64
# File systems take 255 bytes, and the receiver may append something to the name.
MAX_FILENAME_BYTES = 240
# Combining marks on one letter of a name. No language has more than a few; UAX #15 has the same limit.
MAX_MARKS_IN_A_ROW = 30
# The largest file that WeChat takes, with its topic. A broker drops a larger packet without a word.
MAX_INCOMING_PACKET_BYTES = 101 * MIB
# Reading from the broker is paused while deliveries that are not stored yet take more memory than this.
MAX_PENDING_BYTES = 64 * MIB
# The part of `MAX_PENDING_BYTES` that each delivery takes besides its content: for its objects, and for the
# task that answers a request.
DELIVERY_OVERHEAD_BYTES = 4 * KIB
# Requests that are being answered at the same time, some of which wait for WeChat. At QoS 1 the broker sends
# 200 at a time.
MAX_OPEN_REQUESTS = 2000
# A sentence quotes only the beginning of a wrong value.
MAX_FACT_CHARACTERS = 300

# A connection over HTTP is opened within this time: the look-up of the name, TCP and TLS.
HTTP_CONNECT_SECONDS = 10.0
# The transfer of a file may take this time, and the time of its bytes at the rate below.
MAX_TRANSFER_SECONDS = 120
MIN_TRANSFER_BYTES_PER_SECOND = 100_000

# --- what is published ---

# The text of a message on the topic `last` is cut.
MAX_LAST_TEXT_CHARACTERS = 1000
# The payload on `text/<user>` is cut, for devices with a small buffer.
MAX_PLAIN_TEXT_BYTES = 200
MAX_HISTORY_MESSAGES = 500
# The request `questions` answers with the newest ones.
MAX_LISTED_QUESTIONS = 100
# The largest answer of the request `history`, also where the broker takes larger packets.
MAX_HISTORY_ANSWER_BYTES = 1_000_000
# The largest file that an answer contains: several copies of it are in memory at the same time.
MAX_INLINE_FILE_BYTES = 1_000_000

# --- the configuration ---

# A file with some twenty thousand contacts.
MAX_CONFIG_BYTES = 1_000_000
MAX_CONFIG_LEVELS = 20
# Values after the aliases of YAML are resolved, which can multiply what a small file holds.
MAX_CONFIG_VALUES = 50_000
MAX_SECRET_BYTES = 64 * KIB
# The answer of Home Assistant, which `wx2mqtt setup` asks for its broker.
MAX_SUPERVISOR_ANSWER_BYTES = 64 * KIB

# --- the control socket ---

# A request of the command line holds names and ids.
CONTROL_REQUEST_JSON = JsonBounds(max_bytes=64 * KIB, max_depth=8, max_values=1000)
# The longest answer is a list of people: 5,000 of them take about 1 MB.
CONTROL_ANSWER_JSON = JsonBounds(max_bytes=16 * MIB, max_depth=64, max_values=1_000_000)
MAX_CONTROL_CONNECTIONS = 100

# --- WeChat ---

# 300 groups of 500 members in one answer have two million values.
WECHAT_JSON = JsonBounds(max_bytes=64 * MIB, max_depth=64, max_values=4_000_000)
# A forwarded chat of a hundred messages has about 100,000 characters.
MAX_XML_CHARACTERS = 1 << 20
# This bounds the depth of an XML text as well.
MAX_XML_ELEMENTS = 20_000

# --- the store ---

# The head of a backup lists the database and one saved login for each account.
BACKUP_HEAD_JSON = JsonBounds(max_bytes=1_000_000, max_depth=4, max_values=20_000)
# A packed store of text has about a tenth of its size. A file of zeros can have a thousandth.
MAX_UNPACKED_RATIO = 100
# A backup may unpack to so much whatever its ratio is.
MIN_UNPACKED_BYTES = 64 * MIB
# One row of a restored store. The deepest row is a command with a `transaction`; the largest is a refused
# command of an old version that stored its content.
STORED_JSON = JsonBounds(max_bytes=128 * MIB, max_depth=80, max_values=1_000_000)
# An address book of 10,000 people has 300,000 values and 6 MB.
PEOPLE_FILE_JSON = JsonBounds(max_bytes=128 * MIB, max_depth=16, max_values=3_000_000)
SAVED_LOGIN_JSON = JsonBounds(max_bytes=4 * MIB, max_depth=16, max_values=100_000)
# Above this part of `storage.max_size` commands are refused. The rest is for messages, which come only once.
MAX_COMMAND_STORE_SHARE = 0.95


def transfer_seconds(size: int) -> float:
    """Returns how long the transfer of a file of `size` bytes may take as a whole."""
    return MAX_TRANSFER_SECONDS + size / MIN_TRANSFER_BYTES_PER_SECOND
