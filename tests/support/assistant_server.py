"""A server that is asked: it speaks Home Assistant's `/api/conversation/process` and OpenAI's `/v1/chat/completions`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.support.deadlines import MAX_WAIT_SECONDS

ASSIST, MODEL = "/api/conversation/process", "/v1/chat/completions"


@dataclass(frozen=True)
class Question:
    """One request: its path, the value of its header Authorization (None: it had none), and its JSON."""

    path: str
    authorization: str | None
    body: dict[str, Any]

    @property
    def text(self) -> str:
        """What the person asked."""
        return str(self.body["messages"][-1]["content"] if "messages" in self.body else self.body["text"])


@dataclass(frozen=True)
class Reply:
    """What the server answers: `text` in the form of the protocol, or `body` as it is."""

    text: object = ""
    status: int = 200
    body: bytes | None = None
    response_type: str = "action_done"
    error_code: str = ""
    location: str = ""


class AssistantServer:
    """Keeps the `questions`, and answers by `replies` (by text), else `You said: <text>`. Use as a context manager.

    A text in `held` is answered only after `release` of it.
    """

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.replies: dict[str, Reply] = {}
        self._held: dict[str, threading.Event] = {}
        self._more = threading.Condition()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size))
                question = Question(self.path, self.headers.get("Authorization"), body)
                with server._more:
                    server.questions.append(question)
                    server._more.notify_all()
                if question.text in server._held:
                    server._held[question.text].wait(MAX_WAIT_SECONDS)
                server._write(self, question)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def hold(self, text: str) -> Callable[[], None]:
        """Lets this text wait for its answer; returns the function that releases it."""
        self._held[text] = threading.Event()
        return self._held[text].set

    def wait(self, text: str, path: str = "", *, count: int = 1) -> Question:
        """Waits until this text was asked so often, at `path` if one is given; returns the newest question."""
        with self._more:
            assert self._more.wait_for(lambda: len(self.asked(text, path)) >= count, MAX_WAIT_SECONDS), (
                f"{text!r} was not asked, but {[question.text for question in self.questions]}"
            )
            return self.asked(text, path)[-1]

    def asked(self, text: str, path: str = "") -> list[Question]:
        """Returns the questions with this text, those at `path` if one is given."""
        return [
            question for question in self.questions if question.text == text and path in ("", question.path)
        ]

    def _write(self, handler: BaseHTTPRequestHandler, question: Question) -> None:
        reply = self.replies.get(question.text, Reply(f"You said: {question.text}"))
        data = _bytes(reply, question)
        try:
            handler.send_response(reply.status)
            if reply.location:
                handler.send_header("Location", reply.location)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)
        except OSError:  # the caller did not wait
            handler.close_connection = True

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for event in self._held.values():
            event.set()
        self._server.shutdown()
        self._server.server_close()


def _bytes(reply: Reply, question: Question) -> bytes:
    if reply.body is not None:
        return reply.body
    if question.path == ASSIST:
        answer = {
            "response": {
                "response_type": reply.response_type,
                "language": "en",
                "data": {"code": reply.error_code} if reply.error_code else {},
                "speech": {"plain": {"speech": reply.text, "extra_data": None}},
            },
            "conversation_id": question.body["conversation_id"],
            "continue_conversation": False,
        }
        return json.dumps(answer).encode()
    choice = {"index": 0, "message": {"role": "assistant", "content": reply.text}, "finish_reason": "stop"}
    return json.dumps({"object": "chat.completion", "choices": [choice]}).encode()
