"""`wx2mqtt ask` reads the state of its question."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from wx2mqtt.app.operations import QuestionOperations
from wx2mqtt.model import Status


async def test_a_question_that_is_sent_between_two_reads_is_waited_for():
    """Each read sees what was before it; the command is sent, and its question open, right after the first."""
    reads: list[str] = []

    async def read_command(_command_id: str) -> Any:
        reads.append("command")
        is_sent = len(reads) > 1
        return SimpleNamespace(
            result=SimpleNamespace(status=Status.SENT, message="taken") if is_sent else None
        )

    async def read_question(_command_id: str) -> Any:
        reads.append("question")
        is_asked = len(reads) > 1
        return SimpleNamespace(answer="", until=None, closed=None) if is_asked else None

    journal = SimpleNamespace(
        commands=SimpleNamespace(get=read_command), questions=SimpleNamespace(get=read_question)
    )
    account: Any = SimpleNamespace(
        ctx=SimpleNamespace(journal=journal), components=SimpleNamespace(intake=None)
    )
    assert await QuestionOperations(account).run("ask.state", {"id": "a"}) == {"state": "waiting"}
    assert len(reads) == 2
