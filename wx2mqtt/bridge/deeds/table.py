"""The requests that change something at WeChat, as a table, and what the rest of the bridge tells them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from wx2mqtt.bridge.attempt import Attempt
from wx2mqtt.bridge.deeds.contacts import Contacts
from wx2mqtt.bridge.deeds.doing import Doer
from wx2mqtt.bridge.deeds.groups import Groups
from wx2mqtt.bridge.deeds.whom import Whom
from wx2mqtt.bridge.judge import Rules
from wx2mqtt.bridge.people.identity import Changes, Identity
from wx2mqtt.bridge.requests import Changing
from wx2mqtt.errors import BadCommand, LoggedOut
from wx2mqtt.model import AcceptFriend, Json, LoginState, MarkRead, SetRemark
from wx2mqtt.store.journal import Journal
from wx2mqtt.wechat.gateway import Gateway


class Deeds:
    """Those of one account. `directory` is the topic of its contacts; `save` stores changes of people."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        journal: Journal,
        identity: Identity,
        rules: Callable[[], Rules],
        directory: str,
        standing: Callable[[], bool],
        state: Callable[[], LoginState],
        logged_out: Callable[[LoggedOut], None],
        save: Callable[[Changes], Awaitable[None]],
    ) -> None:
        self._able = gateway.capabilities
        whom = Whom(identity, rules, directory)
        self.doer = Doer(gateway, standing=standing, state=state, logged_out=logged_out)
        self._contacts = Contacts(doer=self.doer, whom=whom, identity=identity, journal=journal, save=save)
        self._groups = Groups(doer=self.doer, whom=whom, identity=identity, gateway=gateway, save=save)

    def works(self) -> dict[str, Changing]:
        """By name of the request."""
        able = self._able
        works = {
            "mark_read": (self._contacts.mark_read, MarkRead in able.actions),
            "set_remark": (self._contacts.set_remark, SetRemark in able.actions),
            "accept_friend": (self._contacts.accept_friend, AcceptFriend in able.actions),
            "group": (self._groups.group, able.groups),
        }
        return {
            name: Changing(work if offered else partial(_refuse, name))
            for name, (work, offered) in works.items()
        }


async def _refuse(name: str, _fields: dict[str, Json], _attempt: Attempt) -> Json:
    """What this backend cannot do at all is refused before anybody looks at what was asked."""
    raise BadCommand("unsupported", "unsupported_action", name=name)
