"""`--help` and usage errors in Chinese: for a Chinese locale, and where the configuration says so.

The texts are those of the reference (`wx2mqtt.i18n.reference`); options and names stay as they are typed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typing_extensions import override

from wx2mqtt.cli.terminal import command_language
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.settings import sentence_text
from wx2mqtt.i18n.setup import text_width

LINE_COLUMNS = 80
NAME_COLUMNS = 30

# The error of a command line that typer cannot understand. Typer itself only names its subclass.
UsageError: Any = typer.BadParameter.__bases__[0]

# What a line may be broken before and after: a word of ASCII signs, or one other character.
_UNIT = re.compile(r"[!-~]+|[^!-~]")

# Signs that never begin a line. One of them may stand beyond the last column.
_CLOSING_SIGNS = "，。；：！？、）”"


class TranslatedCommand(TyperCommand):
    """A command whose help is in the language of the terminal or the configuration."""

    @override
    def get_help(self, ctx: Any) -> str:
        is_english = command_language(None, os.environ) == "en"
        return super().get_help(ctx) if is_english else "\n".join(_chinese_help(self, ctx))


class TranslatedGroup(TyperGroup):
    """A group of commands whose help is in the language of the terminal or the configuration."""

    @override
    def get_help(self, ctx: Any) -> str:
        is_english = command_language(None, os.environ) == "en"
        return super().get_help(ctx) if is_english else "\n".join(_chinese_help(self, ctx))


def show_usage_error(error: Any, write_line: Callable[[str], None], language: Language) -> int:
    """Writes how a command is used and what is wrong with this use; returns the exit code.

    A group without a command shows its help, which has its language already.
    """
    is_help = type(error).show is not UsageError.show
    if language == "en" or is_help:
        error.show()
    else:
        for line in _usage_error_lines(error):
            write_line(line)
    return int(error.exit_code)


def _usage_error_lines(error: Any) -> Iterator[str]:
    ctx = error.ctx
    if ctx is not None:
        yield _usage_line(ctx.command, ctx)
        yield f"用 {ctx.command_path} --help 查看说明。"
        yield ""
    yield f"错误：{sentence_text(error.format_message(), 'zh')}"


def _usage_line(command: Any, ctx: Any) -> str:
    pieces = (chinese_text(piece) for piece in command.collect_usage_pieces(ctx))
    return f"用法：{ctx.command_path} {' '.join(pieces)}"


def chinese_text(english: str) -> str:
    """Returns the Chinese of a help text; the English one where there is none."""
    from wx2mqtt.i18n.reference import REFERENCE_TEXTS  # noqa: PLC0415 - only a help needs them
    from wx2mqtt.i18n.setup import HELP_TEXTS  # noqa: PLC0415

    return HELP_TEXTS.get(english) or REFERENCE_TEXTS.get(english, english)


def _chinese_help(command: TyperCommand | TyperGroup, ctx: Any) -> Iterator[str]:
    yield _usage_line(command, ctx)
    yield ""
    yield from _wrapped(chinese_text((command.help or "").strip()), indent=2)
    parameters = command.get_params(ctx)
    for kind, heading in (("argument", "参数："), ("option", "选项：")):
        shown = [each for each in parameters if each.param_type_name == kind and each.get_help_record(ctx)]
        yield from _table(heading, [_parameter_row(each, ctx) for each in shown])
    if isinstance(command, TyperGroup):
        yield from _table("命令：", [*_command_rows(command, ctx)])


def _command_rows(group: TyperGroup, ctx: Any) -> Iterator[tuple[str, str]]:
    """Yields the name of each command, and the first sentence of its help."""
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is not None:
            yield name, chinese_text((command.help or "").strip()).partition("。")[0]


def _parameter_row(parameter: Any, ctx: Any) -> tuple[str, str]:
    """Returns the names of a parameter, and its help with what typer adds, such as a range."""
    names, english = parameter.get_help_record(ctx)
    own = parameter.help or ""
    added = english.removeprefix(own).strip().replace("[required]", "[必需]")
    added = added.replace("[default: ", "[默认：")
    return names, f"{chinese_text(own)} {added}".strip()


def _table(heading: str, rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yields a heading and rows of two columns; a long name has a line of its own."""
    if not rows:
        return
    yield ""
    yield heading
    column = min(max(text_width(name) for name, _ in rows), NAME_COLUMNS) + 4
    for name, text in rows:
        lines = list(_wrapped(text, indent=column)) or [""]
        if text_width(name) + 4 > column:
            yield f"  {name}"
        else:
            lines[0] = f"  {name}".ljust(column) + lines[0][column:]
        yield from lines


def _wrapped(text: str, *, indent: int) -> Iterator[str]:
    """Yields the lines of a text; Chinese may be broken between any two characters."""
    columns = min(shutil.get_terminal_size().columns, LINE_COLUMNS) - text_width(_CLOSING_SIGNS[0])
    margin = line = " " * indent
    for unit in _UNIT.findall(text):
        if line != margin and text_width(line + unit.rstrip()) > columns and unit not in _CLOSING_SIGNS:
            yield line.rstrip()
            line = margin
        line += unit if line != margin else unit.lstrip()
    if line != margin:
        yield line.rstrip()
