"""The hosts of iLink and what each serves (ilink 1): look-ups."""

from __future__ import annotations

from wx2mqtt.simulator.hosts import ILINK_API, ILINK_CDN, ILINK_OTHER, host_name, is_wechat
from wx2mqtt.simulator.http_messages import Request


def serves(name: str, *, cdn: bool, redirect: str) -> bool:
    """Returns whether the host `name` serves a call. A name that is not Tencent's serves every call."""
    if not is_wechat(name):
        return True
    return name == ILINK_CDN if cdn else name in (ILINK_API, ILINK_OTHER, redirect)


def base_address(request: Request) -> str:
    """Returns the address (scheme and host) under which the program reaches the simulator."""
    if is_wechat(host_name(request.host)):
        return f"https://{ILINK_API}"
    return f"{request.scheme}://{request.host}"


def cdn_address(address: str) -> str:
    """Returns the CDN's address for a program that reaches the API at `address`."""
    return f"https://{ILINK_CDN}/c2c" if address == f"https://{ILINK_API}" else f"{address}/c2c"
