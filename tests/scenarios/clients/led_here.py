"""Leads a client of WeChat to the simulator without changing the client: only names resolve elsewhere.

Also gives back what Python 3.9 took from the standard library and these old clients still use.
"""

from __future__ import annotations

import html
import html.parser
import os
import random
import socket

_resolve = socket.getaddrinfo


def _led_here(host, port, *args, **kwargs):
    if str(host).endswith((".qq.com", ".wechat.com")):
        host, port = "127.0.0.1", int(os.environ["SIMULATOR_PORT"])
    return _resolve(host, port, *args, **kwargs)


socket.getaddrinfo = _led_here
html.parser.HTMLParser.unescape = staticmethod(html.unescape)  # type: ignore[attr-defined]
random.seed(7)  # one in a hundred of its DeviceIDs has 14 digits
