"""The endpoint of all interfaces for senders: from a request to a stored command and its answer.

    POST /send/wife, Authorization: Bearer …, "home at six"   ->   202 {"id": "…", "account": …, "user": …}

The order of the checks; the first that fails answers, and then there is no command:

    1. the token: 401, or 429 for an address that guesses
    2. the rate of the sender: 429
    3. the recipient: 403 where the sender may not send to them, 404 or 503 for an account that is not here
    4. the body: 400, 408, 413
    5. unfinished commands of the sender: 429
    6. the command itself, as for one from MQTT, and its commit: 400, 403, 404, 409, 413, 503
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wx2mqtt.aio import run_by_size
from wx2mqtt.bridge.account_view import AccountView
from wx2mqtt.bridge.commands.http_commands import CallRefused
from wx2mqtt.bridge.commands.outcomes import ResultWait
from wx2mqtt.errors import BadCommand, StoreError
from wx2mqtt.i18n.bridge import rejection_text
from wx2mqtt.i18n.web import server_text
from wx2mqtt.web.bridge_state import BridgeState
from wx2mqtt.web.options import SenderOptions, Serves
from wx2mqtt.web.request_context import RequestContext, context_of
from wx2mqtt.web.responses import AUTHENTICATE_HEADERS, NO_STORE, text_response
from wx2mqtt.web.senders.alert_webhooks import AlertmanagerInterface, GrafanaInterface
from wx2mqtt.web.senders.call_log import ACCEPTED
from wx2mqtt.web.senders.gotify import GotifyInterface
from wx2mqtt.web.senders.interface import (
    Accepted,
    Refused,
    RequestHead,
    SenderCommand,
    SenderInterface,
    ServiceAnswer,
    form_fields,
)
from wx2mqtt.web.senders.ntfy import NtfyInterface
from wx2mqtt.web.senders.own_interface import PlainInterface
from wx2mqtt.web.senders.request_bodies import BadBody, BodyReader, MemoryBudget
from wx2mqtt.web.senders.sender_rights import (
    MAX_UNFINISHED,
    Recipient,
    SenderRegistry,
    find_recipient,
    may_send,
)
from wx2mqtt.web.senders.wecom_robot import WeComRobotInterface

# A new interface is a module beside this one, and an entry here.
INTERFACES: tuple[SenderInterface, ...] = (
    PlainInterface(),
    GotifyInterface(),
    NtfyInterface(),
    WeComRobotInterface(),
    AlertmanagerInterface(),
    GrafanaInterface(),
)

# A client is told to try again after this time, where nothing says when it would succeed.
RETRY_SECONDS = 15

# The HTTP status of a refusal by its code; for any other code it is 400.
_STATUS_BY_CODE: Mapping[str, HTTPStatus] = {
    "unauthorized": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "elsewhere": HTTPStatus.SERVICE_UNAVAILABLE,
    "unknown_user": HTTPStatus.NOT_FOUND,
    "unresolved_user": HTTPStatus.NOT_FOUND,
    "not_allowed": HTTPStatus.FORBIDDEN,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too_long": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "id_reused": HTTPStatus.CONFLICT,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "storage_full": HTTPStatus.SERVICE_UNAVAILABLE,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
}

# After these the same request may succeed later.
_REPEATABLE = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class SenderEndpoint:
    """The routes of one address. When `closing` is set, calls that wait for a result are answered."""

    def __init__(self, bridge: BridgeState, registry: SenderRegistry, closing: asyncio.Event) -> None:
        self.bridge = bridge
        self.registry = registry
        self.closing = closing
        self.budget = MemoryBudget()

    def routes(self, serves: Serves) -> list[Route]:
        """Returns the routes of an address that serves this."""
        if serves is Serves.PAGE:
            return []
        is_root = serves is Serves.ROOT_SENDERS
        return [route for interface in INTERFACES for route in self._routes_of(interface, is_root=is_root)]

    def _routes_of(self, interface: SenderInterface, *, is_root: bool) -> list[Route]:
        handler = self._handler(interface)
        paths = interface.root_paths if is_root else interface.paths
        get_paths = interface.root_get_paths if is_root else interface.get_paths
        return [
            *(Route(path, handler, methods=[*interface.methods]) for path in paths),
            *(_get_route(path, handler) for path in get_paths),
        ]

    def _handler(self, interface: SenderInterface) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            context = context_of(request.scope)
            if not self.registry.is_open:
                return text_response(context, HTTPStatus.NOT_FOUND, "nothing_here")
            return await _Call(self, interface, request, context).answer()

        return handle


def _get_route(path: str, handler: Callable[[Request], Awaitable[Response]]) -> Route:
    """Returns a route for GET alone: starlette adds HEAD, which must not send."""
    route = Route(path, handler, methods=["GET"])
    route.methods = {"GET"}
    return route


class _RefusedCall(Exception):
    """A check has failed; `refused` is the answer."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.code)
        self.refused = refused


class _Call:
    """One request to an interface: `answer` carries it out. `_accept` has the order of the checks."""

    def __init__(
        self, endpoint: SenderEndpoint, interface: SenderInterface, request: Request, context: RequestContext
    ) -> None:
        self._endpoint = endpoint
        self._bridge = endpoint.bridge
        self._registry = endpoint.registry
        self._interface = interface
        self._request = request
        self._context = context
        self._sender_name = ""
        names = self._bridge.account_names()
        self._first_account = names[0] if names else ""

    async def answer(self) -> Response:
        """Carries the call out, and counts and logs it."""
        try:
            accepted = await self._accept()
        except _RefusedCall as error:
            refused = error.refused
            facts = {"interface": self._interface.name, "status": refused.status.value}
            self._registry.record(self._sender_name, refused.code, **facts)
            return self._response(self._interface.write_refusal(refused), refused)
        facts = {"account": accepted.account, "user": accepted.user, "id": accepted.id}
        self._registry.record(self._sender_name, ACCEPTED, interface=self._interface.name, **facts)
        return self._response(self._interface.write_answer(accepted))

    def _response(self, answer: ServiceAnswer, refused: Refused | None = None) -> Response:
        headers = {**NO_STORE, "content-type": answer.media_type}
        if refused is not None and refused.retry_after is not None:
            headers["retry-after"] = str(refused.retry_after)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            headers |= AUTHENTICATE_HEADERS
        return Response(answer.content, answer.status, headers)

    async def _accept(self) -> Accepted:
        """Returns the stored command. Raises `_RefusedCall`."""
        try:
            head = self._read_head()
            sender = self._authenticate(head)
            self._require_rate(sender)
            named = self._interface.read_recipient(head)
            if named is not None:  # else the body says who the recipient is
                self._find_account(self._recipient(sender, named))
            return await self._read_and_accept(head, sender, named)
        except BadCommand as bad:
            raise self._refusal_of(bad) from None

    def _read_head(self) -> RequestHead:
        headers: dict[str, str] = {}
        for name, value in self._request.headers.items():
            headers.setdefault(name, value)
        return RequestHead(
            method=self._request.method,
            language=self._context.language,
            path_names=self._request.path_params,
            query=form_fields(self._request.scope["query_string"].decode("latin-1")),
            headers=headers,
        )

    def _authenticate(self, head: RequestHead) -> SenderOptions:
        token = self._interface.read_token(head)
        who = self._registry.authenticate(token, self._context.client.address)
        if who.sender is not None:
            self._sender_name = who.sender.name
            return who.sender
        if who.wait_seconds:
            seconds = math.ceil(who.wait_seconds)
            text = server_text(self._context.language, "too_often", seconds=seconds)
            raise self._refused("unauthorized", text, HTTPStatus.TOO_MANY_REQUESTS, seconds)
        raise self._refusal("unauthorized", "wrong_sender_token" if token else "sender_without_token")

    def _require_rate(self, sender: SenderOptions) -> None:
        seconds = math.ceil(self._registry.count_call(sender))
        if seconds:
            facts = {"rate": sender.rate, "name": sender.name, "seconds": seconds}
            raise self._refusal("rate_limited", "sender_too_fast", retry_after=seconds, **facts)

    def _recipient(self, sender: SenderOptions, named: str) -> Recipient:
        """Returns whom the call means, if the sender may send to them; they need not exist."""
        recipient = find_recipient(named, sender, self._first_account)
        if not recipient.user:
            raise self._refusal("bad_command", "sender_names_nobody")
        if not may_send(sender, recipient, self._first_account):
            shown = f"{recipient.account}/{recipient.user}"
            raise self._refusal("forbidden", "sender_forbidden", user=shown)
        return recipient

    def _find_account(self, recipient: Recipient) -> AccountView:
        """Returns the account of a recipient, if it runs here. Raises `_RefusedCall`."""
        bridge, name = self._bridge, recipient.account
        view = next((view for view in bridge.accounts() if view.name == name), None)
        if view is not None and bridge.outage() is None:
            return view
        if name not in bridge.account_names():
            raise self._refusal("unknown_user", "unknown_account")
        cluster = bridge.cluster()
        instances = () if cluster is None else cluster.instances
        for instance in instances:
            if name in instance.accounts and not instance.is_here:
                where = f"{instance.name} {instance.url}".strip()
                raise self._refusal("elsewhere", "account_elsewhere", account=name, instance=where)
        raise self._refusal("elsewhere", "account_not_here", account=name)

    async def _read_and_accept(self, head: RequestHead, sender: SenderOptions, named: str | None) -> Accepted:
        """Reads the body and accepts the command in it. A file that becomes no command is deleted."""
        # All accounts store a file in the same way. So any account may store it, where only the body says
        # which account is meant.
        recipient = find_recipient(named or "", sender, self._first_account)
        storing = self._find_account(recipient).command_calls
        plan = self._interface.plan_body(head)
        reader = BodyReader(self._request, head, self._endpoint.budget, storing)
        is_kept = False
        try:
            body = await reader.read(plan)
            command = await run_by_size(len(body.data), lambda: self._interface.read_command(head, body))
            accepted = await self._accept_command(sender, command)
            is_kept = True
        except BadBody as error:
            raise self._refusal_of(error.bad, error.status) from None
        except CallRefused as error:
            raise self._refused(error.code, str(error)) from None
        except StoreError:
            raise self._refusal("storage_full", "store_refuses") from None
        finally:
            reader.release_memory()
            if reader.stored is not None and not is_kept:
                await storing.release(reader.stored)
        return accepted

    async def _accept_command(self, sender: SenderOptions, command: SenderCommand) -> Accepted:
        recipient = self._recipient(sender, command.user)
        calls = self._find_account(recipient).command_calls
        await self._require_few_unfinished(sender)
        wait = None
        if command.wait_seconds > 0:
            wait = ResultWait(seconds=command.wait_seconds, interrupt=self._endpoint.closing)
        upload = None if command.file is None else command.file.blob
        stored = await calls.accept(
            recipient.user, command.fields, sender.name, upload, wait, command.content
        )
        return Accepted(
            id=stored.command_id,
            account=recipient.account,
            user=recipient.user,
            sender=sender.name,
            row_id=stored.row_id,
            time=stored.time,
            result=stored.result,
            answer_fields=command.answer_fields,
        )

    async def _require_few_unfinished(self, sender: SenderOptions) -> None:
        accounts = [view.command_calls for view in self._bridge.accounts()]
        if await self._registry.count_command(sender, accounts):
            return
        raise self._refusal("rate_limited", "sender_unfinished", limit=MAX_UNFINISHED, name=sender.name)

    # Refusals

    def _refusal(
        self, code: str, message_key: str, *, retry_after: int | None = None, **facts: object
    ) -> _RefusedCall:
        text = server_text(self._context.language, message_key, **facts)
        return self._refused(code, text, retry_after=retry_after)

    def _refusal_of(self, bad: BadCommand, status: HTTPStatus | None = None) -> _RefusedCall:
        return self._refused(bad.code, rejection_text(self._context.language, bad), status)

    def _refused(
        self, code: str, message: str, status: HTTPStatus | None = None, retry_after: int | None = None
    ) -> _RefusedCall:
        """By default the code says the status, and the status whether the client may try again."""
        status = status or _STATUS_BY_CODE.get(code, HTTPStatus.BAD_REQUEST)
        if retry_after is None and status in _REPEATABLE:
            retry_after = RETRY_SECONDS
        return _RefusedCall(Refused(status=status, code=code, message=message, retry_after=retry_after))
