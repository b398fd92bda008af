"""A service that alarms go to: takes what is posted to it, as apprise's `json://` does."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.support.deadlines import MAX_WAIT_SECONDS


class Receiver:
    """Use as a context manager. `got` are the bodies; `status` is the answer; `gate` holds it while cleared.

    With `refuses_files` what has a file with it gets 413.
    """

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 200
        self.refuses_files = False
        self.gate = threading.Event()
        self.gate.set()
        self._more = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size))
                with receiver._more:
                    receiver.got.append(body)
                    receiver._more.notify_all()
                receiver.gate.wait(MAX_WAIT_SECONDS)
                is_refused = receiver.refuses_files and body.get("attachments")
                self.send_response(413 if is_refused else receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """As apprise wants it, with something in it that nobody may see."""
        return f"json://127.0.0.1:{self._server.server_address[1]}/hook-s3cr3t-path"

    def wait(self, count: int) -> list[dict[str, Any]]:
        """What came, once there is so much."""
        with self._more:
            assert self._more.wait_for(lambda: len(self.got) >= count, MAX_WAIT_SECONDS), (
                f"only {len(self.got)}"
            )
        return self.got

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
