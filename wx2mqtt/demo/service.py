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

from typing_extensions import override

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.setup import demo_text

MAX_BODY_BYTES = 1_000_000


@asynccontextmanager
async def imitated_service(language: Language) -> AsyncGenerator[str, None]:
    """Runs the service on a free port of loopback; gives its apprise URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(min(size, MAX_BODY_BYTES)))
            title, message = body.get("title", ""), body.get("message", "")
            text = " · ".join(f"{title}\n{message}".split("\n")).strip(" ·")
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
