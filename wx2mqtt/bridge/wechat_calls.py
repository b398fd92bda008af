"""The calls by which one account changes something at WeChat, and whether one may be made now.

    await calls.send(draft, key)      a message of a command
    await calls.perform(action, key)  a recall, or the action of a request

Each is made once. Its outcome is returned: the answer, or the error. Who makes it has stored its begin
before, and decides what follows: `commands/sender.py` for commands, `requests/action_runner.py` for requests.
A throttling and the end of the login hold back the calls of both (`hold_back`). WeChat may deliver a message
that was sent as a received one, too: `echo_filter.py` recognizes it.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable
from itertools import count
from typing import TypeVar

import structlog

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.errors import BackendError, LoggedOut, OutcomeUnknown, Throttled
from wx2mqtt.model import Action, ActionResult, Draft, Receipt, SendKey

log = structlog.get_logger(__name__)

AnswerT = TypeVar("AnswerT")


class WeChatCalls:
    def __init__(self, ctx: AccountContext) -> None:
        self._ctx = ctx
        #: The loop time at which the throttling by WeChat ends.
        self._throttled_until = 0.0
        #: Whether a call was answered with the end of the login, since the last login.
        self._is_login_refused = False
        #: Whether there is a login for messages; a request asks the session.
        self.online = False
        #: Whether nothing new is begun any more.
        self.stopping = False

    def send(self, draft: Draft, key: SendKey) -> Awaitable[Receipt | BackendError]:
        return _outcome_of(self._ctx.backend.send(draft, key), "send failed", draft.kind)

    def perform(self, action: Action, key: SendKey) -> Awaitable[ActionResult | BackendError]:
        return _outcome_of(self._ctx.backend.perform(action, key), "act failed", type(action).__name__)

    # Whether a call may be made

    @property
    def may_send(self) -> bool:
        """Whether a message may be sent, now or after a wait."""
        return self.online and not self.stopping

    @property
    def throttled_seconds(self) -> float:
        """Seconds until the throttling by WeChat ends; 0 without one."""
        return max(0.0, self._throttled_until - loop_time())

    def hold_back(self, error: BackendError) -> None:
        """Holds back all calls after a throttling or the end of the login; other errors concern one chat."""
        match error:
            case Throttled(retry_after=seconds):
                self._throttled_until = max(self._throttled_until, loop_time() + seconds)
            case LoggedOut():
                self.online = False
                self._is_login_refused = True
                self._ctx.login_requests.on_logged_out(error)
            case _:
                pass

    def set_online(self, online: bool) -> None:
        """Records that there is a login, or none any more."""
        self.online = online
        if online:
            self._is_login_refused = False

    def try_after_login_end(self) -> None:
        """Allows calls after polls were refused, until a call is refused as well."""
        self.online = not self._is_login_refused


async def _outcome_of(call: Awaitable[AnswerT], problem: str, subject: str) -> AnswerT | BackendError:
    try:
        return await call
    except BackendError as error:
        return error
    except Exception:  # a bug in the bridge: the request may have been written
        log.exception(problem, subject=subject)
        return OutcomeUnknown()


# The last digits of the keys. They count, since random ones would be equal for some of the commands that are
# accepted in the same millisecond, and WeChat drops the second message with a key.
_key_numbers = count(random.randrange(10_000))


def new_key() -> SendKey:
    """Returns the time in milliseconds and four digits, like the official client (webwx 2.12.1)."""
    return SendKey(f"{now_ms()}{next(_key_numbers) % 10_000:04d}")
