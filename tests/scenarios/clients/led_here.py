"""Leads a client of WeChat to the simulator without changing the client: only names and one port lead elsewhere.

Also gives back what Python 3.9 took from the standard library and these old clients still use.
"""

from __future__ import annotations

import html.parser
import os
import random
import socket

_resolve = socket.getaddrinfo
_connect = socket.socket.connect


def _led_here(host, *args, **kwargs):
    name = host.decode() if isinstance(host, bytes) else str(host)
    return _resolve("127.0.0.1" if name.endswith((".qq.com", ".wechat.com")) else host, *args, **kwargs)


def _connected(self, address):
    here = ("127.0.0.1", int(os.environ["SIMULATOR_PORT"]))
    return _connect(self, here if address == ("127.0.0.1", 443) else address)


socket.getaddrinfo = _led_here
socket.socket.connect = _connected  # type: ignore[method-assign]
html.parser.HTMLParser.unescape = staticmethod(html.unescape)  # type: ignore[attr-defined]
random.seed(7)  # one in a hundred of its DeviceIDs has 14 digits
