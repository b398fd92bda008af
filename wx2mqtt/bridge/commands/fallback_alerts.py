"""What an alert of the fallback says: one urgent command, several of them, or that the login has ended.

    "fire" for wife            ->  title "wx2mqtt home: to wife", body "fire"
    300 commands in a summary  ->  how many they are, and the first and the last of them

`fallback_ways.py` says which part of an alert goes where.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

from wx2mqtt.bridge.commands.fallback_ways import FallbackAlert
from wx2mqtt.bridge.fallback_accounts import FallbackQuestion
from wx2mqtt.i18n import Language, translation
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.message_kinds import MESSAGE_KINDS
from wx2mqtt.model import AskingCommand, Attachment
from wx2mqtt.store.command_records import CommandRow

# The longest summary: some services cut longer texts.
MAX_SUMMARY_CHARACTERS = 1000

# The longest line of a summary, which names one command by the begin of its text.
SUMMARY_LINE_CHARACTERS = 100

# The random bytes in the id of an alert about the login.
LOGIN_ALERT_ID_BYTES = 8

# The placeholders of files without a text, by kind.
_LABELS = {str(kind): row.label for kind, row in MESSAGE_KINDS.items() if row.label is not None}


def command_alert(
    row: CommandRow, attachment: Attachment | None, account: str, language: Language
) -> FallbackAlert:
    """Returns the alert for one command of an account, with the file that it has."""
    command = row.command
    body = alert_text(row, language)
    return FallbackAlert(
        command_id=row.command_id,
        fingerprint=_fingerprint_of(row),
        title=bridge_text(language, "fallback_title", account=account, user=command.user),
        body=body,
        text=body if attachment is None else command.text,
        kind=command.kind,
        attachment=attachment,
        markdown=command.markdown,
        question=_question_of(row, account),
    )


def summary_alert(rows: Sequence[CommandRow], account: str, language: Language) -> FallbackAlert:
    """Returns one alert for several commands: how many they are, and the first and the last of them."""
    lines = summary_lines(rows, language)
    if len(lines) < len(rows):
        lines.append(bridge_text(language, "fallback_summary_rest", count=len(rows) - len(lines)))
    title = bridge_text(language, "fallback_summary_title", account=account, count=len(rows))
    body = "\n".join(lines)
    return FallbackAlert(
        command_id=rows[0].command_id,
        fingerprint=_fingerprint_of(rows[0]),
        title=title,
        body=body,
        text=f"{title}\n{body}",
        count=len(rows),
    )


def login_end_alert(reason: str, page: str, account: str, language: Language) -> FallbackAlert:
    """Returns the alert about the end of a login, with the address of the page, if any, and no QR code."""
    message_key = "login_ended" if page else "login_ended_no_page"
    title = bridge_text(language, "login_ended_title", account=account)
    body = bridge_text(language, message_key, why=reason.removesuffix("."), page=page)
    occasion = f"login-{secrets.token_hex(LOGIN_ALERT_ID_BYTES)}"
    return FallbackAlert(
        command_id=occasion, fingerprint=occasion, title=title, body=body, text=f"{title}\n{body}"
    )


def summary_lines(rows: Sequence[CommandRow], language: Language) -> list[str]:
    """Returns lines that name as many of these commands as a summary has room for.

    They are taken in turn from the beginning and from the end: an alarm must not be hidden by a flood of
    others before it, or after it.
    """
    lines: list[str] = []
    room = MAX_SUMMARY_CHARACTERS
    for number in range(len(rows)):
        from_end = number % 2 == 1
        row = rows[-1 - number // 2] if from_end else rows[number // 2]
        text = f"{row.command.user}: {alert_text(row, language)}"
        line = " ".join(text[: 2 * SUMMARY_LINE_CHARACTERS].split())  # cut first, since a text may be large
        if len(line) > SUMMARY_LINE_CHARACTERS:
            line = f"{line[: SUMMARY_LINE_CHARACTERS - 1]}…"
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    return lines


def alert_text(row: CommandRow, language: Language) -> str:
    """Returns the text of a command; for a file without one, its kind and name: [image] door.jpg."""
    command = row.command
    if command.text:
        return command.text
    usual = (f"[{command.kind}]", f"[{command.kind}]")  # a recall is no kind of a message
    label = _LABELS.get(command.kind, usual)
    return f"{translation(label, language)} {command.name}".rstrip()


def _fingerprint_of(row: CommandRow) -> str:
    """Returns what tells a command from every other one, also from a later one with the same id."""
    return hashlib.sha256(f"{row.id} {row.accepted} {row.key} {row.fingerprint}".encode()).hexdigest()


def _question_of(row: CommandRow, account: str) -> FallbackQuestion | None:
    command = row.command
    if not command.buttons:
        return None
    return FallbackQuestion(
        asked_by=AskingCommand(account=account, row_id=row.id, command_id=row.command_id, user=command.user),
        buttons=command.buttons,
        buttons_for=command.buttons_for,
        buttons_from=command.buttons_from,
    )
