"""Redirects a client of WeChat to the simulator without changing the client: only names and one port are replaced.

Also restores a function that Python 3.9 removed from the standard library and these old clients still use.
"""

from __future__ import annotations

import html.parser
import os
import random
import socket

_resolve = socket.getaddrinfo
_connect = socket.socket.connect


def _resolve_to_simulator(host, *args, **kwargs):
    name = host.decode() if isinstance(host, bytes) else str(host)
    return _resolve("127.0.0.1" if name.endswith((".qq.com", ".wechat.com")) else host, *args, **kwargs)


def _connect_to_simulator(self, address):
    simulator_address = ("127.0.0.1", int(os.environ["SIMULATOR_PORT"]))
    return _connect(self, simulator_address if address == ("127.0.0.1", 443) else address)


socket.getaddrinfo = _resolve_to_simulator
socket.socket.connect = _connect_to_simulator  # type: ignore[method-assign]
html.parser.HTMLParser.unescape = staticmethod(html.unescape)  # type: ignore[attr-defined]
random.seed(7)  # one in a hundred of the DeviceIDs of itchat has only 14 digits
