"""The endpoints of the page and its forms. What a form requests takes the same path as a command over MQTT.

The security middleware has already checked who sends a request, and that a form comes from our own page.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from wx2mqtt.bridge.account_view import AccountView, PeoplePage
from wx2mqtt.bridge.people.directory import DirectoryEntry
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand, StoreError
from wx2mqtt.limits import MAX_CODE_DIGITS, MAX_TOPIC_NAME_BYTES
from wx2mqtt.mqtt.topics import PNG_TYPE, is_topic_name
from wx2mqtt.web.auth import Authenticator
from wx2mqtt.web.bridge_state import BridgeState
from wx2mqtt.web.html import LANGUAGE_TAGS, Assets, PageText
from wx2mqtt.web.page.account_data import (
    FOUND_MESSAGES_PER_PAGE,
    AccountSnapshot,
    read_account,
    value_or_none,
)
from wx2mqtt.web.page.contacts import MAX_OFFSET, PEOPLE_PER_PAGE, PeopleSearch, people_section
from wx2mqtt.web.page.forms import MAX_FORM_TEXT_CHARACTERS, MAX_QUERY_CHARACTERS, SUGGESTED_PEOPLE
from wx2mqtt.web.page.live import EventStreamResponse, LiveUpdates
from wx2mqtt.web.page.messages import MessageSearch
from wx2mqtt.web.page.page import (
    PageAccount,
    PageQuery,
    Question,
    account_section,
    render_page,
    render_question,
)
from wx2mqtt.web.page.sections import PageOptions, cluster_section, file_section
from wx2mqtt.web.request_context import LANGUAGE_COOKIE, BadForm, context_of, is_local, read_form
from wx2mqtt.web.responses import OUTAGE_HEADERS, PAGE_HEADERS, PRIVATE_HEADERS, set_cookie, text_response

log = structlog.get_logger(__name__)

AccountHandler = Callable[[Request, AccountView], Awaitable[Response]]

LANGUAGE_COOKIE_SECONDS = 365 * 86_400
LOGOUT_WAIT_SECONDS = 10.0  # until the page is shown again; a logout that takes longer goes on
RETRY_AFTER_SECONDS = 15  # for a viewer when there are too many
MAX_OFFSET_DIGITS = 7
COMMAND_ID_HASH_CHARACTERS = 20
MAX_SEQ_DIGITS = 15
SEARCH_TIMEOUT_SECONDS = 10.0  # of the messages that the search index does not have yet, each is read

_PAGE_COMMAND_ID = re.compile(rf"page-[0-9a-f]{{{COMMAND_ID_HASH_CHARACTERS}}}", re.ASCII)

IMMUTABLE_HEADERS = {"cache-control": "public, max-age=31536000, immutable"}


class PageHandlers:
    """The endpoints. When `closing` is set, event streams end."""

    def __init__(
        self, bridge: BridgeState, authenticator: Authenticator, assets: Assets, closing: asyncio.Event
    ) -> None:
        self._bridge = bridge
        self._authenticator = authenticator
        self._assets = assets
        self._closing = closing
        self._live_updates = LiveUpdates(bridge)

    def of_account(self, handler: AccountHandler) -> Callable[[Request], Awaitable[Response]]:
        """Returns the endpoint that calls a handler with the account in the path."""

        async def handle(request: Request) -> Response:
            view = self._find_account(request)
            if view is None:
                return text_response(context_of(request.scope), HTTPStatus.NOT_FOUND, "unknown_account")
            return await handler(request, view)

        return handle

    def _find_account(self, request: Request) -> AccountView | None:
        name = request.path_params["account"]
        return next((view for view in self._bridge.accounts() if view.name == name), None)

    async def show(self, request: Request) -> Response:
        options = _page_options(request)
        page_text = PageText(options.language)
        bridge = self._bridge
        setup_command, cluster = bridge.setup_command(), bridge.cluster()
        snapshots = await asyncio.gather(*(read_account(view, setup_command) for view in bridge.accounts()))
        command_id = request.query_params.get("id", "")  # that a form has stored
        page_query = PageQuery(
            options=options,
            now=now_ms(),
            token=secrets.token_hex(8),
            notice=request.query_params.get("said", ""),
            command_id=command_id if _PAGE_COMMAND_ID.fullmatch(command_id) else "",
            can_log_out=self._authenticator.requires_password,
            can_send=self._can_send(request),
            file_problems=file_section(bridge, page_text),
            cluster=None if cluster is None else cluster_section(cluster, page_text),
        )
        sections = []
        for snapshot in snapshots:
            account = await _page_account(request, snapshot, page_text, can_send=page_query.can_send)
            sections.append(account_section(account, page_query))
            await asyncio.sleep(0)  # each takes some milliseconds, in which no message is sent
        document = render_page(sections, page_query, self._assets)
        if bridge.outage() is not None:
            headers = {**PAGE_HEADERS, **OUTAGE_HEADERS, "refresh": OUTAGE_HEADERS["retry-after"]}
            return HTMLResponse(document, HTTPStatus.SERVICE_UNAVAILABLE, headers)
        return HTMLResponse(document, headers=PAGE_HEADERS)

    async def events(self, request: Request) -> Response:
        """GET /events: the stream of changed sections. HEAD only shows whether it is available."""
        context = context_of(request.scope)
        # A page of another site could not read the stream, but its requests would use up the viewers.
        if request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
            return text_response(context, HTTPStatus.FORBIDDEN, "foreign_origin")
        if self._live_updates.is_full:
            retry = {"retry-after": f"{RETRY_AFTER_SECONDS}"}
            return text_response(context, HTTPStatus.SERVICE_UNAVAILABLE, "too_many_viewers", retry)

        def is_allowed() -> bool:
            return self._authenticator.is_session_valid(context.session_key)

        return EventStreamResponse(
            self._live_updates.stream(_page_options(request), is_allowed), self._closing
        )

    async def contacts(self, request: Request, view: AccountView) -> Response:
        """GET /accounts/<account>/contacts: one page of the people found, as a fragment of HTML."""
        query, offset = _contacts_query(request, view.name, default_account=view.name)
        page_text = PageText(context_of(request.scope).language)
        people, search = await _find_people(view, query, offset, can_send=self._can_send(request))
        section = people_section(people, search, page_text)
        return HTMLResponse(section.encode("utf-8", "replace"), headers=PAGE_HEADERS)

    async def qr_image(self, request: Request) -> Response:
        """GET /accounts/<account>/qr.png: the QR code to scan."""
        view = self._find_account(request)
        if view is None or not view.qr_image:
            return text_response(context_of(request.scope), HTTPStatus.NOT_FOUND, "no_code")
        return Response(view.qr_image, media_type=PNG_TYPE, headers=PRIVATE_HEADERS)

    async def request_login(self, _request: Request, view: AccountView) -> Response:
        log.info("login asked for on the page", account=view.name)
        return _request_login(view, "try" if view.is_login_postponed else "login")

    async def enter_verification_code(self, request: Request, view: AccountView) -> Response:
        """POST /accounts/<account>/number with `number`, the verification code that the phone shows."""
        number = (await _form_field(request, "number")).strip()
        if _number(number, MAX_CODE_DIGITS) is None or not view.enter_verification_code(number):
            return _redirect_to_page("no_number", view.name, "wechat")
        return _redirect_to_page("number", view.name, "wechat")

    async def request_new_owner(self, _request: Request, view: AccountView) -> Response:
        log.info("login of a new owner asked for on the page", account=view.name)
        return _request_login(view, "new_owner", new_owner=True)

    async def confirm_bot(self, request: Request, view: AccountView) -> Response:
        """POST /accounts/<account>/confirm-bot with `bot`: the bot that the page showed is the operator's."""
        bot_id = await _form_field(request, "bot")
        return await _say_of_owner(request, view, "bot", partial(view.confirm_bot, bot_id))

    async def name_owner(self, request: Request, view: AccountView) -> Response:
        """POST /accounts/<account>/owner with `user`: this person is the owner of the bot."""
        user = (await _form_field(request, "user"))[:MAX_TOPIC_NAME_BYTES]
        return await _say_of_owner(request, view, "owner", partial(view.name_owner, user))

    async def close_question(self, request: Request, view: AccountView) -> Response:
        """POST /accounts/<account>/close-question with `question`, the id of the command that asks."""
        command_id = await _form_field(request, "question")
        log.info("question closed on the page", account=view.name)
        try:
            is_closed = await view.close_question(command_id)
        except StoreError as error:
            log.error("question cannot be closed", account=view.name, problem=str(error))
            return text_response(context_of(request.scope), HTTPStatus.SERVICE_UNAVAILABLE, "not_stored")
        return _redirect_to_page("closed" if is_closed else "no_question", view.name, "last_commands")

    def ask(self, question: Question) -> AccountHandler:
        """Returns the handler that asks before something that cannot be undone."""

        async def handle(request: Request, view: AccountView) -> Response:
            page_text = PageText(context_of(request.scope).language)
            document = render_question(question, view.name, page_text, self._assets)
            return HTMLResponse(document, headers=PAGE_HEADERS)

        return handle

    async def log_out(self, _request: Request, view: AccountView) -> Response:
        log.info("logout asked for on the page", account=view.name)
        with suppress(TimeoutError):
            async with asyncio.timeout(LOGOUT_WAIT_SECONDS):
                await view.log_out()
        return _redirect_to_page("logout", view.name, "wechat")

    async def send_test(self, request: Request, view: AccountView) -> Response:
        """POST /accounts/<account>/test with `text`, and with the `token` of the page (`PageQuery`).

        The text goes to the chat with oneself.
        """
        if not view.test_recipient:
            return text_response(context_of(request.scope), HTTPStatus.NOT_FOUND, "unknown_account")
        return await _send_text(request, view, view.test_recipient)

    async def send(self, request: Request, view: AccountView) -> Response:
        """POST /accounts/<account>/send with `user`, `text` and `token`: sends a text to anybody."""
        if not self._can_send(request):
            return text_response(context_of(request.scope), HTTPStatus.FORBIDDEN, "sending_off")
        return await _send_text(request, view)

    def _can_send(self, request: Request) -> bool:
        """Returns whether a viewer, who may see the page, may send texts to everybody.

        Home Assistant's Ingress and a reverse proxy without a password of ours let people through whom the
        bridge cannot tell from each other.
        """
        return self._authenticator.requires_password or is_local(request)

    async def set_language(self, request: Request) -> Response:
        """POST /language with `language`, en or zh: stores it in a cookie."""
        chosen = await _form_field(request, "language")
        response = RedirectResponse("./", HTTPStatus.SEE_OTHER)
        if chosen in LANGUAGE_TAGS:
            context = context_of(request.scope)
            set_cookie(response, context, LANGUAGE_COOKIE, chosen, LANGUAGE_COOKIE_SECONDS)
        return response

    async def static(self, request: Request) -> Response:
        asset = self._assets.by_served_name.get(request.path_params["name"])
        if asset is None:
            return text_response(context_of(request.scope), HTTPStatus.NOT_FOUND, "nothing_here")
        return Response(asset.data, headers={**IMMUTABLE_HEADERS, "content-type": asset.content_type})


async def _form_field(request: Request, name: str) -> str:
    """Returns a field of the form; empty without it, or where the form cannot be read."""
    try:
        return (await read_form(request)).get(name, "")
    except BadForm:
        return ""


def _request_login(view: AccountView, notice: str, *, new_owner: bool = False) -> Response:
    """Requests a login; the page shows `notice`, or that the login was tried a moment ago."""
    try:
        view.request_login(new_owner=new_owner)
    except BadCommand:
        notice = "tried"
    return _redirect_to_page(notice, view.name, "wechat")


async def _say_of_owner(
    request: Request, view: AccountView, notice: str, say: Callable[[], Awaitable[None]]
) -> Response:
    """Stores what the operator says; the page shows `notice`, or that it is not so any more."""
    log.info("said on the page whose the bot is", account=view.name, said=notice)
    try:
        await say()
    except BadCommand:
        notice = "no_owner"
    except StoreError as error:
        log.error("owner cannot be stored", account=view.name, problem=str(error))
        return text_response(context_of(request.scope), HTTPStatus.SERVICE_UNAVAILABLE, "not_stored")
    return _redirect_to_page(notice, view.name, "wechat")


def _page_options(request: Request) -> PageOptions:
    language = context_of(request.scope).language
    return PageOptions(language, show_texts=request.query_params.get("texts") == "1")


async def _page_account(
    request: Request, snapshot: AccountSnapshot, page_text: PageText, *, can_send: bool
) -> PageAccount:
    view = snapshot.view
    query, offset = _contacts_query(request, view.name)
    is_chosen = request.query_params.get("account") == view.name
    people, search = await _find_people(view, query, offset, can_send=can_send)
    suggestions: Sequence[DirectoryEntry] = ()
    if can_send:
        is_first_page = not search.query and not search.offset
        first = people if is_first_page else await view.search_people("", 0, SUGGESTED_PEOPLE)
        suggestions = [entry for entry in first.entries if not (entry.closed or entry.removed)]
    return PageAccount(
        snapshot=snapshot,
        contacts=people_section(people, search, page_text),
        query=query,
        search=await _message_search(request, view) if is_chosen else None,
        recipient=request.query_params.get("to", "")[:MAX_TOPIC_NAME_BYTES] if is_chosen else "",
        suggestions=suggestions,
    )


async def _message_search(request: Request, view: AccountView) -> MessageSearch | None:
    """Returns the result of a search; None without one, or for a viewer who has not asked for texts."""
    text = request.query_params.get("find", "")[:MAX_QUERY_CHARACTERS].strip()
    if not text or not _page_options(request).show_texts:
        return None
    before = _number(request.query_params.get("before", ""), MAX_SEQ_DIGITS)
    matches = await value_or_none(
        partial(view.search_messages, text, before, FOUND_MESSAGES_PER_PAGE), SEARCH_TIMEOUT_SECONDS
    )
    return MessageSearch(text=text, before=before, matches=matches)


async def _send_text(request: Request, view: AccountView, recipient: str = "") -> Response:
    """Stores a command with the `text` of the form, for `recipient` or else for its `user`.

    The bridge refuses a user whom it does not know, as in every command, with a result. Only a user who
    cannot be in a topic is refused here, since the result could not be published.
    """
    context = context_of(request.scope)
    try:
        fields = await read_form(request)
        user = recipient or fields.get("user", "").strip()
        if not is_topic_name(user):
            return _redirect_to_page("no_recipient", view.name, "send")
        text = fields.get("text", "")[:MAX_FORM_TEXT_CHARACTERS].replace("\r\n", "\n")
        # The same id for a form that is sent twice, another one for another text.
        form = f"{fields.get('token', '')}:{user}:{text}".encode("utf-8", "replace")
        command_id = f"page-{hashlib.sha256(form).hexdigest()[:COMMAND_ID_HASH_CHARACTERS]}"
        await view.send(user, text, command_id)
    except BadForm as bad:
        return text_response(context, bad.status, bad.message_key)
    except StoreError as error:
        log.error("message of the page cannot be stored", account=view.name, problem=str(error))
        return text_response(context, HTTPStatus.SERVICE_UNAVAILABLE, "not_stored")
    notice = "test" if recipient else f"sent&id={command_id}"
    return _redirect_to_page(notice, view.name, "last_commands")


def _contacts_query(request: Request, account: str, default_account: str = "") -> tuple[str, int]:
    """Returns the query and the offset for the contacts of `account`; empty and 0 if they are for another."""
    parameters = request.query_params
    if parameters.get("account", default_account) != account:
        return "", 0
    offset = min(_number(parameters.get("from", ""), MAX_OFFSET_DIGITS) or 0, MAX_OFFSET)
    return parameters.get("q", "")[:MAX_QUERY_CHARACTERS].strip(), offset


def _number(digits: str, max_digits: int) -> int | None:
    is_number = digits.isascii() and digits.isdecimal() and len(digits) <= max_digits
    return int(digits) if is_number else None


async def _find_people(
    view: AccountView, query: str, offset: int, *, can_send: bool
) -> tuple[PeoplePage, PeopleSearch]:
    """Returns one page of the people found, and the search with its real offset."""
    people = await view.search_people(query, offset, PEOPLE_PER_PAGE)
    if offset and not people.entries:  # there are fewer people than when the link was made
        offset = 0
        people = await view.search_people(query, offset, PEOPLE_PER_PAGE)
    search = PeopleSearch(
        account=view.name, topics=view.topics, query=query, offset=offset, can_send=can_send
    )
    return people, search


def _redirect_to_page(notice: str, account: str, card: str) -> Response:
    """Redirects to the card that shows the outcome. The path is relative: a proxy may add a prefix."""
    return RedirectResponse(f"../../?said={notice}#{account}-{card}", HTTPStatus.SEE_OTHER)
