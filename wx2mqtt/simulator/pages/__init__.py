"""The phone page: static files with a Content-Security-Policy that allows only their own scripts."""

from __future__ import annotations

import functools
from importlib import resources

from wx2mqtt.simulator.http_messages import Request, SimulatedAnswer

_FILES = {
    "/sim": ("phone.html", "text/html; charset=utf-8"),
    "/sim/phone.css": ("phone.css", "text/css; charset=utf-8"),
    "/sim/kinds.js": ("kinds.js", "text/javascript; charset=utf-8"),
    "/sim/ilink.js": ("ilink.js", "text/javascript; charset=utf-8"),
    "/sim/wecom.js": ("wecom.js", "text/javascript; charset=utf-8"),
    "/sim/phone.js": ("phone.js", "text/javascript; charset=utf-8"),
}

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS = (
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-cache"),
)


def find_page(request: Request, language: str = "") -> SimulatedAnswer | None:
    """Returns a file of the page, or None. The page speaks `language` (en, zh); if empty, the browser's.

    `/`, `/sim/` and the paths in QR codes (`/l/<uuid>`, `/q/…`, `/ai/qc/c`) are the page itself.
    """
    itself = request.path in ("/", "/sim/", "/ai/qc/c") or request.path.startswith(("/l/", "/q/"))
    path = "/sim" if itself else request.path
    if request.method not in ("GET", "HEAD") or path not in _FILES:
        return None
    name, content_type = _FILES[path]
    body = _read(name)
    if path == "/sim":
        body = body.replace(b'data-language=""', f'data-language="{language}"'.encode())
    return SimulatedAnswer(body=body, content_type=content_type, headers=_HEADERS)


@functools.cache
def _read(name: str) -> bytes:
    return resources.files(__name__).joinpath(name).read_bytes()
