"""`wx2mqtt ask`: asks somebody, waits for the answer, and prints which button it was.

    $ wx2mqtt ask me "Restart the server?" yes no --timeout 60
    yes

The running bridge sends the question, on this machine or on another one that shares its database. Here it is
only looked, until it is answered or its time is over; then it is closed, so that no later answer counts.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from wx2mqtt.app import control_socket
from wx2mqtt.app.application import RunEnvironment
from wx2mqtt.cli.operations import EXIT_OK, ask_other_instance, enter_store
from wx2mqtt.clock import boot_time
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.settings import sentence_text
from wx2mqtt.model import Json
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.values import frozen

EXIT_NO_ANSWER = 1
EXIT_USAGE = 2

POLL_SECONDS = 0.5  # between two questions to the bridge for the answer
RESULT_SECONDS = 5.0  # after the end of the time: until then an unsent question has its result
ID_BYTES = 8  # random bytes in the id of a question


@frozen
class ShellQuestion:
    """What the command line asks."""

    user: str
    text: str
    buttons: Sequence[str]
    #: How long an answer is awaited.
    seconds: float
    #: Whether people who are not trusted may answer, too.
    anyone: bool
    #: The account that asks; empty for the first one of the configuration.
    account: str


class QuestionClient:
    """Asks through the running bridge."""

    def __init__(self, loaded: LoadedSettings, environment: RunEnvironment, account: str) -> None:
        self._loaded = loaded
        self._folder: Path = enter_store(loaded, environment.env)
        self._account: Mapping[str, Json] = {"account": account} if account else {}

    async def ask(self, question: ShellQuestion) -> int:
        """Returns the exit code.

        1. The bridge accepts the question as a command.
        2. It is asked until there is an answer, the question was not sent, or the time is over.
           A question that still waits then, as for the window of iLink, expires: its result says why.
        3. A question without an answer is closed. An answer that came before that counts.
        """
        command_id = f"ask-{secrets.token_hex(ID_BYTES)}"
        ends_at = boot_time() + question.seconds
        await self._run("ask", id=command_id, **_fields(question))
        state = await self._poll(command_id, ("unsent", "waiting"), ends_at)
        if state["state"] == "unsent":
            state = await self._poll(command_id, ("unsent",), ends_at + RESULT_SECONDS)
        if state["state"] in ("unsent", "waiting"):
            state = await self._run("ask.close", id=command_id)
        return _report(state, self._loaded.settings.language)

    async def _poll(self, command_id: str, states: tuple[str, ...], ends_at: float) -> dict[str, Any]:
        """Returns the state as soon as it is none of `states`, or else the last one before `ends_at`."""
        while True:
            state = await self._run("ask.state", id=command_id)
            left = ends_at - boot_time()
            if state["state"] not in states or left <= 0:
                return state
            await asyncio.sleep(min(POLL_SECONDS, left))

    async def _run(self, operation: str, **fields: Json) -> dict[str, Any]:
        """Lets the bridge that runs the account do one operation. Raises `Wx2MqttError`."""
        given = {**fields, **self._account}
        try:
            answer = await control_socket.ask_bridge(self._folder, operation, given)
        except control_socket.BridgeNotRunning:
            other = await ask_other_instance(self._loaded, operation, given)
            if other is None:
                raise Wx2MqttError("no bridge runs: start it, then ask again") from None
            answer = other.value
        assert isinstance(answer, dict)
        return answer


def _fields(question: ShellQuestion) -> dict[str, Json]:
    return {
        "user": question.user,
        "text": question.text,
        "buttons": [*question.buttons],
        "seconds": question.seconds,
        "anyone": question.anyone,
    }


def _report(state: Mapping[str, Any], language: Language) -> int:
    """Prints the key of the answer, or why there is none; returns the exit code."""
    match state["state"]:
        case "answered":
            typer.echo(state["key"])
            return EXIT_OK
        case "refused":
            typer.echo(state["reason"], err=True)
            return EXIT_USAGE
        case _:
            typer.echo(state.get("reason") or sentence_text("nobody has answered", language), err=True)
            return EXIT_NO_ANSWER
