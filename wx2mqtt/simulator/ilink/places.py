"""The hosts of iLink and what each serves (ilink 1). A table and look-ups, nothing else."""

from __future__ import annotations

from wx2mqtt.simulator.exchange import Request
from wx2mqtt.simulator.hosts import is_wechat, name_of

API = "ilinkai.weixin.qq.com"
OTHER = "ilinkai2.weixin.qq.com"
"""Another data centre, for `redirect_host`. The name is made up: no real one is public (ilink 16)."""
CDN = "novac2c.cdn.weixin.qq.com"
LANDING = "liteapp.weixin.qq.com"

HOSTS = (API, OTHER, CDN, LANDING)


def fits(name: str, *, cdn: bool, redirect: str) -> bool:
    """Whether a call may come to the host `name`. A name that is not Tencent's fits everything."""
    if not is_wechat(name):
        return True
    return name == CDN if cdn else name in (API, OTHER, redirect)


def here(request: Request) -> str:
    """The address under which the program reaches this: scheme and host."""
    if is_wechat(name_of(request.host)):
        return f"https://{API}"
    return f"{request.scheme}://{request.host}"


def cdn_of(place: str) -> str:
    """The CDN for a program that reaches the API at `place`."""
    return f"https://{CDN}/c2c" if place == f"https://{API}" else f"{place}/c2c"
