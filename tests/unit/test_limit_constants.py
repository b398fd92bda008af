"""No limit is missed: each constant `MAX_…` of the program is in the table of limits or exempted with a reason."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "wx2mqtt"
TABLES = (ROOT / "tests/docs/limit_table.py", ROOT / "tests/docs/wechat_limits.py")

_LIMIT = re.compile(r"_?(?:MAX_[A-Z0-9_]+|[A-Z_]+_CACHE_SIZE)")

# The simulator stands for WeChat's servers; the bridge's own tests talk to it.
LEFT_OUT = ("simulator",)

EXEMPT_ENDINGS = {
    "_SECONDS": "how long the bridge waits or works by itself",
    "_ATTEMPTS": "how often the bridge tries by itself",
    "_PER_TURN": "work in one turn of the event loop; the rest comes in the next",
    "_PER_CALL": "what the bridge asks for in one call; the rest in the next",
    "_CACHE_SIZE": "entries of a cache; the oldest one goes, and is asked for again when it is needed",
    "_DIGITS": "of a number in a request head or a query, which is bounded whole",
}
"""Of names; the reason."""

EXEMPT: dict[str, frozenset[str]] = {
    "numbers that MQTT, SQLite, TCP, Linux or glibc give": frozenset(
        {
            *("mqtt.packets:MAX_PACKET_BYTES", "mqtt.packets:MAX_VARINT_BYTES"),
            *("mqtt.packets:MAX_STRING_BYTES", "mqtt.packets:MAX_PACKET_ID"),
            *("mqtt.paho_codec:MAX_RECEIVE_MAXIMUM", "store.column_values:_MAX_INTEGER"),
            "store.folder_owner:_MAX_LINKS",
            *("setup.questions:MAX_PORT", "external.url_fetch:MAX_PORT"),
        }
    ),
    "what the bridge writes itself, of texts that are bounded already": frozenset(
        {
            *("store.folder_owner:_MAX_ANSWER_BYTES", "demo.fallback_service:MAX_BODY_BYTES"),
            *("app.systemd:MAX_STATUS_CHARACTERS", "mqtt.homeassistant_entities:MAX_ATTRIBUTE_CHARACTERS"),
            *(
                "names:MAX_DISPLAY_NAME_CHARACTERS",
                "mqtt.homeassistant_entities:MAX_ENTITY_ID_CHARACTERS",
            ),
            *(
                "mqtt.homeassistant_entities:MAX_RECENT_MESSAGES",
                "mqtt.homeassistant_entities:MAX_RECENT_RESULTS",
                "mqtt.homeassistant_entities:MAX_RESULT_CHARACTERS",
            ),
            *("limits:MAX_CHOSEN_TOPIC_NAME_BYTES", "names:MAX_EXTENSION_CHARACTERS"),
            *("store.backup_archive:_MAX_SHOWN_CHARACTERS", "web.media_headers:MAX_SUFFIX_BYTES"),
            *("web.page.account_data:MAX_MESSAGES_SHOWN", "web.page.account_data:MAX_COMMANDS_SHOWN"),
            "web.page.account_data:MAX_QUESTIONS_SHOWN",
            *("web.page.charts:MAX_WINDOWS_SHOWN", "web.page.charts:MAX_GAUGE_CELLS"),
            "wechat.webwx.protocol.media_requests:MAX_UPLOAD_NAME_CHARACTERS",
            *("bridge.login:MAX_QR_CODES", "diagnostics.broker_connection:MAX_SHOWN_NAMES"),
        }
    ),
    "of the configuration, which the owner writes; its own limits are in the table": frozenset(
        {
            "settings.names_and_topics:MAX_TOPIC_BYTES",
            "settings.field_types:MAX_LOGIN_KEYS",
            *("settings.names_and_topics:MAX_FILTER_BYTES", "settings.sizes_and_durations:MAX_SIZE_BYTES"),
            *("settings.field_types:MAX_CLIENT_ID_CHARACTERS", "settings.key_tree:MAX_SUGGESTIONS"),
            *(
                "settings.validation_errors:MAX_SHOWN_CHARACTERS",
                "settings.yaml_tree:MAX_SHOWN_NAME_CHARACTERS",
            ),
            *("app.control_socket:MAX_PATH_BYTES", "settings.field_types:MAX_LOGIN_KEYS"),
        }
    ),
    "what WeCom takes; the bridge splits, cuts or waits": frozenset(
        {
            *(
                "wechat.wecom.protocol.cards:MAX_TITLE_CHARACTERS",
                "wechat.wecom.protocol.cards:MAX_BODY_CHARACTERS",
                "wechat.wecom.protocol.cards:MAX_DESCRIPTION_CHARACTERS",
            ),
            *("wechat.wecom.protocol.cards:MAX_BUTTONS", "wechat.wecom.protocol.cards:MAX_TASK_ID_BYTES"),
            *(
                "wechat.wecom.protocol.endpoints:MAX_PER_MINUTE",
                "wechat.wecom.protocol.endpoints:MAX_PER_HOUR",
            ),
            "wechat.wecom.protocol.endpoints:MAX_RECEIPTS_PER_MINUTE",
            "wechat.wecom.protocol.endpoints:MAX_RECEIPTS_PER_HOUR",
            *("wechat.wecom.protocol.markdown:MAX_TEXT_BYTES", "wechat.wecom.upload:MAX_PIECES"),
            *(
                "wechat.wecom.protocol.endpoints:MAX_UPLOAD_BYTES",
                "wechat.wecom.protocol.endpoints:MAX_UPLOADS",
            ),
            "wechat.wecom.protocol.requests:MAX_FILENAME_BYTES",
            "wechat.wecom.protocol.requests:MAX_VIDEO_TITLE_BYTES",
        }
    ),
    "parts of a frame, which is bounded whole": frozenset(
        {"wechat.wecom.protocol.frames:MAX_REQUEST_ID_CHARACTERS"}
    ),
    "parts of a request head, which is bounded whole": frozenset(
        {
            *("web.media_headers:_MAX_DECLARED_CHARACTERS", "web.metrics_endpoint:MAX_ACCEPT_CHARACTERS"),
            *(
                "web.request_context:_MAX_ACCEPT_LANGUAGE_CHARACTERS",
                "web.senders.multipart:MAX_BOUNDARY_BYTES",
            ),
        }
    ),
    "work side by side or in one step; the rest waits in what is bounded in the table": frozenset(
        {
            *("app.process:MAX_WORKER_THREADS", "bridge.commands.file_preparation:MAX_CONCURRENT_FETCHES"),
            "bridge.commands.file_preparation:MAX_PREPARED_FILES",
            *("bridge.commands.fallback:MAX_CONCURRENT_ALERTS", "external.alerts:MAX_THREADS_PER_SERVICE"),
            *(
                "bridge.commands.acceptance:MAX_CONCURRENT_FILE_WRITES",
                "wechat.aiohttp_transport:MAX_CONNECTIONS",
            ),
            *(
                "bridge.commands.sender:MAX_CONCURRENT_SENDS",
                "bridge.commands.file_preparation:MAX_CONCURRENT_UPLOADS",
                "bridge.commands.sender:MAX_CONCURRENT_FILE_SENDS",
            ),
            *("bridge.commands.intake:MAX_ACCEPT_BATCH", "store.database:MAX_JOBS_PER_COMMIT"),
            "bridge.commands.questions:MAX_WAITING_UPDATES",
        }
    ),
    "from where on something is done in another way or in another thread; nothing is refused": frozenset(
        {
            *("bounded_json:MAX_SIGNS_FOR_LEVELS", "bounded_json:MAX_COPIED_BYTES", "aio:MAX_BYTES_ON_LOOP"),
            "store.search_index:MAX_SEARCHED_PAIRS",
            *("buttons:MAX_ANSWER_CHARACTERS", "store.questions:MAX_QUOTABLE_QUESTIONS"),
            "bridge.commands.questions:MAX_ANSWERED",
            "bridge.text_split:_MAX_UNIT_CHARACTERS",
            *("mqtt.sockets:MAX_UNSENT_BYTES", "wechat.ilink.protocol.messages:MAX_TIME_MS"),
            "wechat.wecom.connection:MAX_UNSENT_BYTES",
            *(
                "wechat.ilink.protocol.responses:MAX_ERROR_CHARACTERS_READ",
                "wechat.aiohttp_transport:MAX_PIECE_BYTES",
            ),
        }
    ),
    "how often something happens before the bridge does something else": frozenset(
        {
            *("clock:MAX_DOUBLINGS", "web.auth:_MAX_BACKOFF_EXPONENT", "store.mapped_files:MAX_KILLS"),
            *("bridge.inflight:MAX_HEAD_DISCONNECTS", "mqtt.temporary_client:MAX_ATTEMPTS_PER_TOPIC"),
            *(
                "diagnostics.broker_probe:MAX_CONNECTION_LOSSES",
                "diagnostics.broker_probe:MAX_UNANSWERED_REQUESTS",
            ),
            "wechat.wecom.connection:MAX_UNANSWERED_HEARTBEATS",
            "wechat.wecom.upload:MAX_REQUESTS",
            *("wechat.ilink.receiver:MAX_EMPTY_POLLS", "wechat.webwx.receiver:MAX_EMPTY_SYNCS"),
            *(
                "wechat.webwx.contact_list:MAX_CONSECUTIVE_FAILURES",
                "bridge.outbox_rows:MAX_REPEATED_MESSAGES",
            ),
            *("wechat.webwx.contact_list:MAX_GROUP_REFRESHES", "wechat.webwx.login_flow:MAX_STRANGE_ANSWERS"),
            *("wechat.ilink.protocol.endpoints:MAX_REPLIES_PER_MESSAGE", "bridge.login_renewal:MAX_OFFERS"),
        }
    ),
    "of what the bridge alone writes, or remembers for as long as it runs": frozenset(
        {
            "store.mapped_files:_MAX_READ_BYTES",
            *("store.folder:_MAX_LOCK_FILE_BYTES", "store.mapped_files:MAX_PUBACK_RECORDS"),
            *("wechat.ilink.bot_logins:MAX_RECORDED_OFFERS", "wechat.wecom.receipts:MAX_ANSWERED"),
            "wechat.wecom.chat_rates:MAX_SAVED_TIMES",
        }
    ),
}
"""By reason."""


def _constants() -> frozenset[str]:
    return _constants_below(PACKAGE)


@cache
def _constants_below(package: Path) -> frozenset[str]:
    """Returns `module:NAME` of all constants that stand at the top of a module."""
    found: set[str] = set()
    for path in sorted(package.rglob("*.py")):
        module = ".".join(path.relative_to(package).with_suffix("").parts)
        if module.split(".")[0] in LEFT_OUT:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            if isinstance(node, ast.AnnAssign):
                targets = [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            found |= {f"{module}:{name}" for name in names if _LIMIT.fullmatch(name)}
    return frozenset(found)


def _in_table() -> set[str]:
    """Returns `module:NAME` of what the tables name as an attribute of an imported module."""
    return {name for table in TABLES for name in _named_in(ast.parse(table.read_text(encoding="utf-8")))}


def _named_in(tree: ast.Module) -> set[str]:
    modules = {
        alias.asname or alias.name: f"{node.module}.{alias.name}".removeprefix("wx2mqtt.")
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return {
        f"{modules[node.value.id]}:{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
    }


def _exempted(name: str) -> bool:
    return name.endswith(tuple(EXEMPT_ENDINGS)) or any(name in names for names in EXEMPT.values())


def limits_without_row() -> set[str]:
    """Returns `module:NAME` of the constants that are neither in the table nor exempted."""
    return {name for name in _constants() - _in_table() if not _exempted(name)}


def test_each_constant_is_in_the_table_or_exempted():
    assert not limits_without_row(), (
        "add a row to tests/docs/limit_table.py (docs/en/development/recipes.md, Add a limit)"
    )


def test_no_exemption_is_out_of_date():
    exempt = [name for names in EXEMPT.values() for name in names]
    assert len(exempt) == len(set(exempt))
    assert set(exempt) <= _constants()
    assert not set(exempt) & _in_table()
    assert not [name for name in exempt if name.endswith(tuple(EXEMPT_ENDINGS))]
    for ending in EXEMPT_ENDINGS:
        assert any(name.endswith(ending) for name in _constants())


def test_a_new_constant_would_be_missed_by_nobody(tmp_path, monkeypatch):
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "new.py").write_text("MAX_GUESTS = 3\n_MAX_NOISE: int = 4\nMIN_X = 1\n")
    monkeypatch.setattr("tests.unit.test_limit_constants.PACKAGE", tmp_path)
    assert _constants() == {"web.new:MAX_GUESTS", "web.new:_MAX_NOISE"}
    assert not any(map(_exempted, _constants()))
