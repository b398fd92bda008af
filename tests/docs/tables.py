"""The tables of the reference, made from the code in English and Chinese. `python -m tests.docs` writes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from tests import architecture, limits_table
from tests.docs.code_help import CODE_HELP
from tests.docs.kind_help import KIND_HELP
from tests.docs.table_texts import TABLE_TEXTS
from wx2mqtt.cli import operations
from wx2mqtt.cli.main import app
from wx2mqtt.i18n import Language, translation
from wx2mqtt.i18n.diagnostics import DIAGNOSTICS_MESSAGES
from wx2mqtt.i18n.reference import REFERENCE_TEXTS
from wx2mqtt.i18n.setup import HELP_TEXTS
from wx2mqtt.i18n.web import REMEDIES
from wx2mqtt.mqtt.payloads import REQUEST_CODES, RESULT_CODES
from wx2mqtt.mqtt.topics import TOPIC_TABLE
from wx2mqtt.settings.key_tree import BRANCH_KINDS, ConfigKey, keys_of, walk
from wx2mqtt.settings.schema import DEFAULT_ACCOUNT, Settings
from wx2mqtt.settings.writer import default_text
from wx2mqtt.web.metrics_table import (
    ACCOUNT_METRICS,
    CALL_METRICS,
    CLUSTER_METRICS,
    INFO_METRICS,
    PROCESS_METRICS,
    SHARED_METRICS,
    STORE_ANSWERS_METRIC,
    Metric,
)

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TABLE = re.compile(r"(<!-- made by make docs: ([\w-]+) -->\n)(.*?)(<!-- end of [\w-]+ -->\n)", re.DOTALL)

HEADS: Mapping[str, tuple[str, ...]] = {
    "topics": ("topic / 主题", "who publishes / 发布者", "retained / 保留", "payload / 内容"),
    "kinds": (
        "kind / 类型",
        "what it is / 含义",
        "its object / 对象",
        "bytes / 文件内容",
        "can be sent / 可否发送",
    ),
    "codes": ("code / 代码", "cause / 原因", "cure / 处理办法"),
    "configuration": ("key / 键", "default / 默认值", "meaning / 含义"),
    "options": ("option / 选项", "meaning / 含义"),
    "metrics": ("metric / 指标", "type / 类型", "labels / 标签", "meaning / 含义"),
    "problems": ("problem / 问题", "cause / 原因", "cure / 处理办法"),
    "doctor": ("what the doctor says / 检查结果", "cure / 处理办法"),
    "exit-codes": ("exit code / 退出码", "meaning / 含义"),
}
EXIT_CODES: Mapping[int, str] = {
    operations.EXIT_OK: "it worked",
    operations.EXIT_UNEXPECTED: "it failed; for check --connect and healthcheck: something is not well",
    operations.EXIT_USAGE: "the command line is wrong",
    operations.EXIT_TEMPORARY: "try again later: a port is in use, or the store is locked or full",
    operations.EXIT_CONFIGURATION: "the configuration, or the version of the store, cannot be used",
}


def translated(english: str, language: Language) -> str:
    """Returns a text of the reference in a language. Raises `KeyError` where the Chinese one is missing."""
    if not english:
        return ""
    chinese = TABLE_TEXTS.get(english) or REFERENCE_TEXTS.get(english) or HELP_TEXTS.get(english)
    if chinese is None:
        raise KeyError(f"neither tests/docs/table_texts.py nor wx2mqtt/i18n/reference.py has {english!r}")
    return translation((english, chinese), language)


def table(head: str, rows: Iterable[Sequence[str]], language: Language) -> str:
    """Returns a Markdown table; a `|` in a cell is escaped."""
    names = [name.split(" / ")[language == "zh"] for name in HEADS[head]]
    lines = [names, ["---"] * len(names), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """Returns a cell in which Markdown keeps `|`, `<` and `*` as they are; in code only `|` needs that."""
    parts = re.split(r"(`[^`]*`)", text.replace("|", "\\|"))
    return "".join(part if part.startswith("`") else re.sub(r"([<*])", r"\\\1", part) for part in parts)


def topics(language: Language) -> str:
    by, yes = (("桥接程序", "你"), ("是", "否")) if language == "zh" else (("bridge", "you"), ("yes", "no"))
    rows = (
        (
            f"`wx/{topic.pattern}`",
            by[not topic.by_bridge],
            yes[not topic.retained],
            translated(topic.meaning, language),
        )
        for topic in TOPIC_TABLE
    )
    return table("topics", rows, language)


def kinds(language: Language) -> str:
    rows = (
        (
            f"`{kind}`",
            translated(row.about, language),
            " ".join(f"`{key}`" for key in row.keys),
            translated(row.files, language),
            translated(row.sent_as, language),
        )
        for kind, row in KIND_HELP.items()
    )
    return table("kinds", rows, language)


def codes(names: Iterable[str]) -> Callable[[Language], str]:
    def make_table(language: Language) -> str:
        rows = ((f"`{name}`", *CODE_HELP[name].in_language(language)) for name in CODE_HELP if name in names)
        return table("codes", rows, language)

    return make_table


def configuration(language: Language) -> str:
    """Returns a section for each section of the file: what it is, and a table of its keys."""
    parts: list[str] = []
    rows: list[tuple[str, str, str]] = []
    for name, top in keys_of(Settings).items():
        rows = [] if top.model else [_key_row((name,), top, language)]
        about = f"{translated(top.description, language)}\n\n" if top.kind in BRANCH_KINDS else ""
        rows += [
            _key_row(path, key, language) for path, key in walk(Settings) if path[0] == name and len(path) > 1
        ]
        parts.append(f"## {name}\n\n{about}{table('configuration', rows, language)}")
    return "\n".join(parts)


def _key_row(path: tuple[str, ...], key: ConfigKey, language: Language) -> tuple[str, str, str]:
    dotted = ".".join(path).replace("*", DEFAULT_ACCOUNT, 1).replace("*", "<name>")
    has_default = key.model is None and "<name>" not in dotted
    return (
        f"`{dotted}`",
        f"`{default_text(key)}`" if has_default else "",
        translated(key.description, language),
    )


def leaf_commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yields each command that does something or has an option of its own beside --help, with its full name."""
    inner = getattr(command, "commands", {})
    if not inner or command.invoke_without_command or any(option.name != "help" for option in command.params):
        yield name, command
    for key, inner_command in inner.items():
        yield from leaf_commands(inner_command, f"{name} {key}")


def command_line(language: Language) -> str:
    """Returns a section for each command: what it does, and its options."""
    parts = []
    for name, command in leaf_commands(typer.main.get_command(app), "wx2mqtt"):
        rows = [
            (_option(parameter), translated(getattr(parameter, "help", "") or "", language))
            for parameter in command.params
            if parameter.name != "help"
        ]
        usage = f"## {name}\n\n{translated((command.help or '').strip(), language)}\n"
        parts.append(usage + (f"\n{table('options', rows, language)}" if rows else ""))
    return "\n".join(parts)


def _option(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{(parameter.name or '').upper()}`"
    return " ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def exit_codes(language: Language) -> str:
    return table(
        "exit-codes",
        ((f"`{code}`", translated(text, language)) for code, text in EXIT_CODES.items()),
        language,
    )


def all_metrics() -> Iterator[tuple[Metric[Any], tuple[str, ...]]]:
    """Yields every metric with all of its labels."""
    yield from ((metric, ("account", *metric.labels)) for metric in ACCOUNT_METRICS)
    for table in (SHARED_METRICS, PROCESS_METRICS, CLUSTER_METRICS, INFO_METRICS, (STORE_ANSWERS_METRIC,)):
        typed_table: tuple[Metric[Any], ...] = table
        yield from ((metric, metric.labels) for metric in typed_table)
    yield from ((metric, ("account", *metric.labels)) for metric in CALL_METRICS)


def metrics(language: Language) -> str:
    rows: list[tuple[str, ...]] = [
        (
            f"`wx2mqtt_{metric.name}{'_total' if metric.type == 'counter' else ''}`",
            metric.type,
            " ".join(f"`{label}`" for label in labels),
            translated(metric.help, language),
        )
        for metric, labels in all_metrics()
    ]
    return table("metrics", rows, language)


def problems(language: Language) -> str:
    rows = (
        (f"`{name.removeprefix('login_')}`", *remedy.in_language(language))
        for name, remedy in REMEDIES.items()
    )
    return table("problems", rows, language)


FURTHER_FINDINGS: Mapping[str, str] = {
    "authority": "authority_unknown",
    "host": "host_no_connection",
    "clock": "clock_behind",
    "delay": "delay_slow",
    "rewriting": "rewriting_changed_topic",
    "retained": "retained_unsupported",
    "wildcard": "wildcard_lost",
    "session": "session_dropped",
    "publish": "publish_refused",
    "receive": "receive_refused",
    "in_flight": "in_flight_few",
    "packet": "packet_small",
    "name": "name_unknown",
    "version_must_be_5": "version_only_3_1_1",
    "login_client_id": "login_other",
    "login_banned": "login_other",
}
"""The finding of `<name>_cure`, where that is not `<name>`: the first of several that it mends."""


def doctor(language: Language) -> str:
    """Returns the problems that the doctor finds, with their cures; their details are written as `{name}`."""
    rows = []
    for key, cure in DIAGNOSTICS_MESSAGES.items():
        if key.endswith("_cure"):
            name = key.removesuffix("_cure")
            finding = translation(DIAGNOSTICS_MESSAGES[FURTHER_FINDINGS.get(name, name)], language)
            if finding == "{why}":
                why = translation(DIAGNOSTICS_MESSAGES["host_detail"], language)
                finding = f"{translation(DIAGNOSTICS_MESSAGES['check_login'], language)}{why}"
            rows.append((finding, translation(cure, language)))
    return table("doctor", rows, language)


TABLES: Mapping[str, Callable[[Language], str]] = {
    "topics": topics,
    "kinds": kinds,
    "result-codes": codes(RESULT_CODES),
    "request-codes": codes(REQUEST_CODES - RESULT_CODES),
    "configuration": configuration,
    "command-line": command_line,
    "exit-codes": exit_codes,
    "metrics": metrics,
    "problems": problems,
    "doctor": doctor,
    "limits": limits_table.table,
    "imports": architecture.drawing,
}
"""Each table or drawing by the name that stands in its marker."""


def pages() -> list[Path]:
    """Returns every page of the documentation, in both languages."""
    return [path for path in sorted(DOCS.rglob("*.md")) if TABLE.search(path.read_text(encoding="utf-8"))]


def page_with_tables(path: Path) -> str:
    """Returns the page with today's tables. Raises `KeyError` for a marker that names no table, or a missing text."""
    language: Language = "zh" if path.is_relative_to(DOCS / "zh") else "en"
    return TABLE.sub(
        lambda match: f"{match[1]}{TABLES[match[2]](language)}{match[4]}", path.read_text(encoding="utf-8")
    )
