"""A service that receives alarms: an HTTP server for what apprise's `json://` posts."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.support.deadlines import MAX_WAIT_SECONDS


class AlarmReceiver:
    """Keeps the posted `bodies` and answers with `status`. Use as a context manager.

    It answers nothing while `may_answer` is cleared. With `refuses_files` a post with attachments gets 413.
    """

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.status = 200
        self.refuses_files = False
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._more = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size))
                with receiver._more:
                    receiver.bodies.append(body)
                    receiver._more.notify_all()
                receiver.may_answer.wait(MAX_WAIT_SECONDS)
                is_refused = receiver.refuses_files and body.get("attachments")
                self.send_response(413 if is_refused else receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """The address in the form of apprise, with a secret in its path."""
        return f"json://127.0.0.1:{self._server.server_address[1]}/hook-s3cr3t-path"

    def wait(self, count: int) -> list[dict[str, Any]]:
        """Returns the bodies, once there are `count`."""
        with self._more:
            assert self._more.wait_for(lambda: len(self.bodies) >= count, MAX_WAIT_SECONDS), (
                f"only {len(self.bodies)}"
            )
        return self.bodies

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.may_answer.set()
        self._server.shutdown()
        self._server.server_close()
