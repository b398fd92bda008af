"""Can web WeChat's hosts be reached, those of a saved login or those where logins begin?"""

from __future__ import annotations

from collections.abc import Mapping

from wx2mqtt.wechat.gateway import Knock
from wx2mqtt.wechat.knocking import knock_at
from wx2mqtt.wechat.webwx.endpoints import START, Hosts, everything_at, hosts_of
from wx2mqtt.wechat.webwx.session import from_saved
from wx2mqtt.wechat.webwx.transport import HEADERS


async def knock(endpoint: str | None, saved: Mapping[str, object] | None = None) -> tuple[Knock, ...]:
    """Ask each host of the cluster of a `saved` login, or of the one where logins begin.

    `endpoint` stands in the place of them all. Raises nothing for what the hosts do.
    """
    hosts = _hosts(endpoint, saved)
    origins = (hosts.login, hosts.base, hosts.push, hosts.file)
    return await knock_at(origins, endpoint=endpoint, headers=HEADERS)


def _hosts(endpoint: str | None, saved: Mapping[str, object] | None) -> Hosts:
    if endpoint is not None:
        return everything_at(endpoint)
    known = from_saved(saved, None) if saved else None
    return START if known is None else hosts_of(known[0].base)
