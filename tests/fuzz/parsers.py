"""Which functions meet foreign bytes: found by a rule, so that a new one is missed by nobody.

A module is a parser module when it stands in `SCOPES`, or calls one of `PARSING_CALLS`. Each of its public
functions and methods with a parameter of a type in `FOREIGN_TYPES` must be called by a fuzz target, or be excused
with a reason. `test_parsers.py` fails for a function that is neither, and for an entry that fits nothing.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from types import ModuleType

import wx2mqtt

SCOPES = (
    "wechat.webwx.protocol.*",
    "wechat.ilink.protocol.*",
    "wechat.wecom.protocol.*",
    "wechat.json_reader",
    *("wechat.http_client", "wechat.aiohttp_transport"),
    *(
        "mqtt.packets",
        "mqtt.packet_reader",
        "mqtt.paho_codec",
        "mqtt.payloads",
        "mqtt.commands",
        "mqtt.topics",
        "mqtt.options",
    ),
    *("mqtt.connection_errors", "mqtt.homeassistant_entities"),
    *(
        "bridge.commands.validation",
        "bridge.text_split",
        "bridge.attachment_checks",
        "bridge.people.topic_names",
    ),
    *("bridge.people.evidence", "bridge.people.directory"),
    *(
        "settings.loader",
        "settings.yaml_tree",
        "settings.environment",
        "settings.names_and_topics",
        "settings.sizes_and_durations",
        "settings.quiet_hours",
        "settings.addresses",
    ),
    *(
        "store.backup_archive",
        "store.folder_backup",
        "store.column_values",
        "store.file_type",
        "store.people",
        "store.people_file",
    ),
    *("store.atomic_files", "store.mapped_files", "store.shared_marks", "store.saved_logins"),
    *("external.allowed_addresses", "external.url_fetch", "external.local_files"),
    *(
        "web.request_context",
        "web.allowed_hosts",
        "web.media_endpoint",
        "web.media_headers",
        "web.media_ranges",
        "web.auth",
        "web.senders.*",
    ),
    *("app.control_socket", "app.redaction", "names"),
)
"""Modules below `wx2mqtt` whose input comes from WeChat, a broker, a browser, a file or a person."""

FOREIGN_TYPES = re.compile(
    r"\b(bytes|bytearray|str|object|Any|IO|Json|JsonObject|Fields|Cursor|Delivery|Locator|XmlNode|AppMessage|Request)\b"
)
"""In an annotation: bytes, text, JSON, or what is made of them without a check."""

PARSING_CALLS = frozenset(
    {
        *(
            "json.loads",
            "json.load",
            "json.JSONDecoder",
            "JSONDecoder",
            "re.compile",
            "fromstring",
            "parse_qs",
        ),
        *(
            "urlsplit",
            "unquote",
            "httpx.URL",
            "ip_address",
            "ip_network",
            "ipaddress.ip_address",
            "ipaddress.ip_network",
        ),
        *(
            "base64.b64decode",
            "bytes.fromhex",
            "binascii.a2b_base64",
            "int.from_bytes",
            "parsedate_to_datetime",
        ),
        *(
            "yaml.compose",
            "yaml.safe_load",
            "tarfile.open",
            "gzip.GzipFile",
            "zlib.decompress",
            "struct.unpack",
        ),
    }
)
"""A module outside of `SCOPES` that calls one of these is a parser module as well."""

EXCUSED_MODULES: Mapping[str, str] = {
    "simulator*": "the simulated servers; they run in tests and in the demo only",
    "demo*": "reads what the demo itself has sent",
    "diagnostics*": "reads the settings, which were checked, and the owner's own files",
    "cli*": "talks to the owner at a terminal",
    "setup*": "asks the owner, and the supervisor of the same machine",
    "bridge.media.media_payloads": "reads payloads that the journal holds, which the bridge has made",
    "bridge.requests.history_request": "reads payloads that the journal holds; its fields are read by mqtt.commands",
    "mqtt.embedded": "the embedded broker, whose packets amqtt reads",
    "mqtt.sockets": "moves bytes; packets reads them",
    "app.configuration": "maps settings that were checked",
    "app.web_servers": "maps settings that were checked",
    "store.statements": "its statements are in the program",
    "settings.writer": "writes configuration files",
    "settings.cross_key_rules": "reads settings that were checked",
    **{
        f"store.{name}": "reads rows of the database that the bridge has written; a foreign one comes through store.folder_backup"
        for name in (
            "command_records",
            "account_removal",
            "stored_commands",
            "history",
            "journal",
            "media",
            "sqlite_database",
            "operation_queue",
            "outbox",
            "postgresql_connection",
            "received_messages",
            "requests",
        )
    },
    "cluster.tables": "reads rows that instances of the same configuration have written, in the owner's database",
    "web.login_page": "reads the fields of web.request_context; its pattern of local paths is fuzzed with web.headers",
    "wechat.webwx.download": "reads the head of a body with json_reader and responses",
}

EXCUSED: Mapping[str, str] = {
    # writers and constants
    "mqtt.payloads:result_body": "writes a result",
    "mqtt.payloads:answer_*": "writes an answer",
    "store.folder_owner:run_as_owner": "reads what the same program has written",
    "store.folder_owner:create_for_service": "takes a folder of the settings",
    "store.folder_owner:listed_user": "looks a name of the settings up",
    "mqtt.packets:unsubscribe_packet": "writes the filters of the bridge",
    "mqtt.topics:config_topic": "joins a prefix and a name of the settings",
    "mqtt.topics:birth_topic": "joins a prefix of the settings",
    "mqtt.topics:device_id": "takes a name of the settings",
    "mqtt.packets:subscribe_packet": "writes the filters of the bridge",
    "mqtt.packet_reader:PacketHandler.*": "an interface",
    "mqtt.connection_errors:ConnectionTexts.*": "fills sentences; what a broker states passes reason_text",
    "mqtt.packets:counted": "writes",
    "bridge.text_split:split_for": "calls split_text with the limits of a backend",
    "bridge.attachment_checks:kind_for": "takes a kind and a file that were checked",
    "bridge.attachment_checks:max_bytes": "looks a kind up",
    "bridge.attachment_checks:file_too_large_error": "makes an error of a kind that was checked",
    "bridge.attachment_checks:screen_content": "counts bytes and calls file_type_of on their head",
    "bridge.commands.validation:CommandValidator.reject": "makes a result of a command that was read",
    "bridge.commands.validation:CommandValidator.validate_fallback": "checks a command that another account has read",
    "bridge.people.directory:directory_payload": "writes entries of the registry",
    "bridge.people.directory:entry_of": "takes a person of the registry",
    "bridge.people.directory:search_payload": "reads its fields with mqtt.commands",
    "bridge.people.evidence:contact_facts": "takes a contact that was read; fuzzed with webwx.contacts",
    "bridge.people.evidence:member_set": "reads bytes that the registry has written",
    "external.allowed_addresses:ipv*_networks": "reads tables that the kernel writes",
    "external.local_files:read_file": "opens with open_file and hands the bytes on",
    "external.url_fetch:resolve_host": "asks the system",
    "external.url_fetch:UrlFetcher.fetch": "sends requests; httpx reads the answers",
    "web.senders.interface:json_answer": "writes an answer",
    "bridge.attachment_checks:check_stored_file": "takes a kind and a file that were checked",
    "bridge.attachment_checks:suggested_kind": "looks a type up",
    "web.senders.sender_rights:SenderRegistry.record": "counts by names and codes of the bridge",
    "web.senders.sender_rights:UnfinishedCommands.count_unfinished": "an interface",
    "web.senders.call_log:CallLog.write": "counts by names and codes of the bridge",
    "web.senders.request_bodies:UploadStore.*": "an interface",
    "web.auth:FailureThrottle.*": "counts by address",
    "web.auth:secret_digest": "hashes; fuzzed through Authenticator",
    "web.media_headers:file_headers": "calls the functions for the type and the name, which are fuzzed",
    "web.media_endpoint:MediaEndpoint.handle": "looks up ids that fit one bounded pattern",
    "web.page.handlers:PageHandlers.*": "reads its fields with web.request_context; a text that is sent is a command",
    "web.request_context:is_local": "reads the address and the Host header with web.allowed_hosts, which is fuzzed",
    "web.auth:BrowserSessions.*": "hashes the key and looks it up; fuzzed through Authenticator",
    "wechat.http_client:*Response.header*": "looks headers up",
    "wechat.http_client:HttpClient.exchange": "sends a request; aiohttp reads the answer",
    "wechat.http_client:read_json": "calls parse_json, for a large body in a thread, whose CPU time no target measures",
    "wechat.aiohttp_transport:HttpResponse.header_values": "an interface",
    "wechat.aiohttp_transport:tls_context": "takes the endpoint of the settings",
    "app.control_socket:ask_bridge": "the other end of the socket, on the command line",
    "store.backup_archive:write_archive": "writes a backup",
    "store.folder_backup:create_backup": "writes a backup",
    "store.folder_backup:archive_header": "writes a backup",
    "store.people:topic_names_of": "reads rows of the database",
    "store.people:next_id_of": "reads rows of the database",
    "store.people:read_persons": "reads rows of the database",
    "store.people:raise_next_id": "writes a row of the database",
    "store.people:apply_changes": "writes rows of the database",
    "store.people:person_from_row": "reads rows of the database",
    "store.people_file:PeopleFile.restore": "fuzzed as its reader, with store.saved_files",
    "store.column_values:encode_payload": "writes JSON",
    "store.people:forget_people": "deletes the rows of an account",
    "store.atomic_files:AtomicFile.write": "writes a file",
    "store.saved_logins:SavedLogin.save": "an interface",
    "store.saved_logins:SavedLogins.*": "an interface",
    "store.saved_logins:SavedLoginFolder.*": "takes the name of an account",
    "store.saved_logins:SavedLoginFile.save": "writes a file; its reader is fuzzed with store.saved_files",
    "store.atomic_files:write_atomically": "writes a file",
    "store.mapped_files:MappedFile.write": "writes a file",
    "store.shared_marks:SharedMarks.*": "reads rows that instances of the same database have written",
    "store.atomic_files:quarantine": "renames a file; called for every damaged one in store.saved_files",
    # web WeChat's requests: each is built and checked by `_check_requests` or takes values of the bridge
    "wechat.webwx.protocol.media_requests:upload_part_request": "encodes its form with encode_form, which is fuzzed",
    "wechat.webwx.protocol.group_members:GroupMembers.*": "stores contacts that were read",
    "wechat.webwx.protocol.locators:avatar_locator": "holds a handle and a number that were read",
    "bridge.people.evidence:id_without_kind": "cuts an id at its first colon",
    "wechat.aiohttp_transport:proxy_for": "takes scheme and host of a server that the bridge knows",
    # iLink's requests
    "wechat.ilink.protocol.requests:media_item": "holds the parameter of an upload; JSON writes it",
    "wechat.ilink.protocol.reply_window:ChatWindow.with_refusal": "takes a reason of its own table",
    "wechat.ilink.protocol.responses:printable_error": "called by error_text and read_scan_answer, which are fuzzed",
}


def qualified(function: Callable[..., object]) -> str:
    """Returns the name of a function in the lists here: module below `wx2mqtt`, colon, qualified name."""
    return f"{function.__module__.removeprefix('wx2mqtt.')}:{function.__qualname__}"


@cache
def product_modules() -> tuple[str, ...]:
    """Returns the names of all modules of the product."""
    return tuple(module.name for module in pkgutil.walk_packages(wx2mqtt.__path__, "wx2mqtt."))


@cache
def parser_modules() -> tuple[str, ...]:
    """Returns the names, below `wx2mqtt`, of all modules that the rule covers."""
    names = [name.removeprefix("wx2mqtt.") for name in product_modules()]
    return tuple(
        name for name in names if _is_in_scope(name) or (not excuse_of_module(name) and _parses(name))
    )


def _is_in_scope(name: str) -> bool:
    return any(fnmatchcase(name, scope) for scope in SCOPES)


def _parses(name: str) -> bool:
    path = Path(wx2mqtt.__file__).parent.joinpath(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return bool(parsing_calls(file.read_text(encoding="utf-8")))


def excuse_of_module(name: str) -> str:
    """Returns why a module that calls a parser is left out; empty when it is not."""
    return next((reason for pattern, reason in EXCUSED_MODULES.items() if fnmatchcase(name, pattern)), "")


def excuse_of(name: str) -> str:
    """Returns why a function is not fuzzed; empty when it must be."""
    return next((reason for pattern, reason in EXCUSED.items() if fnmatchcase(name, pattern)), "")


def parsing_calls(source: str) -> set[str]:
    """Returns which of `PARSING_CALLS` a module calls."""
    tree = ast.parse(source)
    calls = {_dotted(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return calls & PARSING_CALLS


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def functions_of(module: ModuleType) -> Iterator[Callable[..., object]]:
    """Yields the public functions and methods that a module defines."""
    for name, member in vars(module).items():
        if name.startswith("_") or getattr(member, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(member):
            yield member
        elif inspect.isclass(member):
            yield from _methods_of(member)


def _methods_of(owner: type) -> Iterator[Callable[..., object]]:
    for name, member in vars(owner).items():
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if inspect.isfunction(function) and not name.startswith("_"):
            yield function


def takes_foreign_bytes(function: Callable[..., object]) -> bool:
    """Returns whether a parameter has a type in which foreign bytes can stand."""
    annotations = {key: text for key, text in function.__annotations__.items() if key != "return"}
    return any(FOREIGN_TYPES.search(str(text)) for text in annotations.values())


@cache
def all_parsers() -> tuple[str, ...]:
    """Returns the functions that the rule finds, without those that are excused."""
    found = []
    for name in parser_modules():
        module = importlib.import_module(f"wx2mqtt.{name}")
        found += [qualified(function) for function in functions_of(module) if takes_foreign_bytes(function)]
    return tuple(name for name in found if not excuse_of(name))
