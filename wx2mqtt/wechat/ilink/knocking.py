"""Can iLink's hosts be reached: where logins begin, where a saved login lives, where bytes are?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from wx2mqtt.wechat.gateway import Knock
from wx2mqtt.wechat.ilink.hosts import Hosts
from wx2mqtt.wechat.ilink.session import from_saved
from wx2mqtt.wechat.ilink.transport import HEADERS
from wx2mqtt.wechat.knocking import knock_at


async def knock(endpoint: str | None, saved: Mapping[str, object] | None = None) -> tuple[Knock, ...]:
    """Ask each host. `endpoint` stands in the place of them all. Raises nothing for what the hosts do."""
    return await knock_at(_origins(endpoint, saved or {}), endpoint=endpoint, headers=HEADERS)


def _origins(endpoint: str | None, saved: Mapping[str, object]) -> Iterator[str]:
    hosts = Hosts(endpoint=endpoint)
    yield _origin(hosts.login)
    for bot in from_saved(saved):
        if bot.endpoint == endpoint and not bot.over:
            yield _origin(bot.base)
    yield _origin(hosts.cdn)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
