"""The requests that change something at WeChat, as a table, and what the rest of the bridge tells them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from wx2mqtt.bridge.deeds.contacts import Contacts
from wx2mqtt.bridge.deeds.doing import Doer
from wx2mqtt.bridge.deeds.groups import Groups
from wx2mqtt.bridge.deeds.whom import Whom
from wx2mqtt.bridge.judge import Rules
from wx2mqtt.bridge.people.identity import Changes, Identity
from wx2mqtt.bridge.requests import Changing
from wx2mqtt.errors import LoggedOut
from wx2mqtt.model import LoginState
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
        whom = Whom(identity, rules, directory)
        self.doer = Doer(gateway, standing=standing, state=state, logged_out=logged_out)
        self._contacts = Contacts(doer=self.doer, whom=whom, identity=identity, journal=journal, save=save)
        self._groups = Groups(doer=self.doer, whom=whom, identity=identity, gateway=gateway, save=save)

    def works(self) -> dict[str, Changing]:
        """By name of the request."""
        return {
            "mark_read": Changing(self._contacts.mark_read),
            "set_remark": Changing(self._contacts.set_remark),
            "accept_friend": Changing(self._contacts.accept_friend),
            "group": Changing(self._groups.group),
        }
