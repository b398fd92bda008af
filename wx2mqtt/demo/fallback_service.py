"""The service of the demo's fallback: prints what the bridge sends to it, as a phone would show it.

It stands for Bark, ntfy, Server酱 and the others: apprise posts JSON to it (`json://`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.setup import demo_text

# A file of 25 MB in base64, and what goes with it.
MAX_BODY_BYTES = 35_000_000


@asynccontextmanager
async def imitated_service(language: Language) -> AsyncGenerator[str, None]:
    """Runs the service on a free port of loopback; gives its apprise URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            if size > MAX_BODY_BYTES:
                self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                return
            text = _shown(json.loads(self.rfile.read(size)))
            print(demo_text(language, "by_fallback", text=text), flush=True)
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", "0")
            self.end_headers()

        @override
        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing: the terminal is for what was received."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"json://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _shown(body: dict[str, Any]) -> str:
    """Returns what apprise posted as one line: title, text, and the files that go along with their sizes."""
    files = [
        f"📎 {file['filename']}, {len(file['base64']) * 3 // 4 / 1000:.0f} kB"
        for file in body.get("attachments", ())
    ]
    lines = f"{body.get('title', '')}\n{body.get('message', '')}".split("\n")
    return " · ".join(line for line in (*lines, *files) if line)
