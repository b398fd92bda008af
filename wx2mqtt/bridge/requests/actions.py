"""The table of requests that change something at WeChat: `mark_read`, `set_remark`, `accept_friend`, `group`.

`contact_actions.py` and `group_actions.py` have the handlers, `action_runner.py` carries out the actions.
"""

from __future__ import annotations

from functools import partial

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.journaled import RequestAttempt
from wx2mqtt.bridge.recipients import Recipients
from wx2mqtt.bridge.requests.action_runner import ActionRunner
from wx2mqtt.bridge.requests.action_targets import TargetResolver
from wx2mqtt.bridge.requests.contact_actions import ContactActions
from wx2mqtt.bridge.requests.dispatcher import ActionHandler
from wx2mqtt.bridge.requests.group_actions import GROUP_REQUEST, GroupActions
from wx2mqtt.bridge.session import LoginSession
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import AcceptFriend, Json, MarkRead, SetRemark


class ActionRequests:
    """The requests of one account that change something at WeChat."""

    def __init__(
        self, ctx: AccountContext, session: LoginSession, recipients: Recipients, inbound: InboundMessages
    ) -> None:
        self._capabilities = ctx.backend.capabilities
        self.runner = ActionRunner(ctx, session)
        target_resolver = TargetResolver(ctx, recipients)
        self._contacts = ContactActions(ctx, self.runner, target_resolver, inbound)
        self._groups = GroupActions(ctx, self.runner, target_resolver, inbound)

    def handlers(self) -> dict[str, ActionHandler]:
        """Returns the handlers by the name of their request."""
        able = self._capabilities
        actions = {
            "mark_read": (self._contacts.mark_read, MarkRead in able.actions),
            "set_remark": (self._contacts.set_remark, SetRemark in able.actions),
            "accept_friend": (self._contacts.accept_friend, AcceptFriend in able.actions),
            GROUP_REQUEST: (self._groups.group, able.has_groups),
        }
        return {
            name: ActionHandler(work if offered else partial(_refuse, name))
            for name, (work, offered) in actions.items()
        }


async def _refuse(name: str, _fields: dict[str, Json], _attempt: RequestAttempt) -> Json:
    """Rejects a request that this backend does not support, before its fields are checked."""
    raise BadCommand("unsupported", "unsupported_action", name=name)
