"""Drivers of the limits of what WeChat sends: see `test_limits.py`.

Each gets a value of the limit and a folder, and returns whether that much is still within the limit.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.client_proto import ResponseHandler

from tests.unit.bridge.address_book import AddressBook
from tests.unit.wechat.webwx.entries import entry
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.model import Handle, Owner
from wx2mqtt.setup import find_brokers
from wx2mqtt.wechat import aiohttp_transport, json_reader
from wx2mqtt.wechat.ilink.protocol import crypto
from wx2mqtt.wechat.ilink.protocol import messages as ilink_messages
from wx2mqtt.wechat.ilink.protocol import responses as ilink_responses
from wx2mqtt.wechat.ilink.protocol import session as ilink_session
from wx2mqtt.wechat.ilink.protocol.reply_window import ChatWindow
from wx2mqtt.wechat.ilink.receiver import Receiver as IlinkReceiver
from wx2mqtt.wechat.webwx import download
from wx2mqtt.wechat.webwx.contact_list import ContactList
from wx2mqtt.wechat.webwx.protocol import app_messages, markup, membership_texts, system_texts
from wx2mqtt.wechat.webwx.protocol import contacts as webwx_contacts
from wx2mqtt.wechat.webwx.protocol import cookies as webwx_cookies
from wx2mqtt.wechat.webwx.protocol import messages as webwx_messages
from wx2mqtt.wechat.webwx.protocol import responses as webwx_responses
from wx2mqtt.wechat.webwx.receiver import Receiver

Driver = Callable[[Any, Path], bool]


def _run(scenario: Coroutine[Any, Any, bool]) -> bool:
    return asyncio.run(scenario)


# WeChat


class PausingTransport(asyncio.Transport):
    """A transport that only notes whether reading was paused."""

    is_paused = False

    def pause_reading(self) -> None:
        self.is_paused = True

    def close(self) -> None:
        pass


def received(answer: bytes) -> tuple[ResponseHandler, PausingTransport]:
    """Returns what aiohttp makes of an answer with the settings of `AiohttpTransport`."""

    async def scenario() -> tuple[ResponseHandler, PausingTransport]:
        handler, transport = ResponseHandler(asyncio.get_running_loop()), PausingTransport()
        handler.connection_made(transport)
        handler.set_response_params(
            read_bufsize=aiohttp_transport.MAX_UNREAD_BYTES // 2,
            max_field_size=aiohttp_transport.MAX_HEAD_LINE_BYTES,
            max_headers=aiohttp_transport.MAX_HEAD_LINES,
        )
        handler.data_received(b"HTTP/1.1 200 OK\r\n" + answer)
        return handler, transport

    return asyncio.run(scenario())


def answer_head_line(size: int, _: Path) -> bool:
    return received(b"X:".ljust(size + 1, b"x") + b"\r\n\r\n")[0].exception() is None


def answer_head_lines(count: int, _: Path) -> bool:
    return received(b"X: x\r\n" * count + b"\r\n")[0].exception() is None


def unread_answer(size: int, _: Path) -> bool:
    head = b"Content-Length: %d\r\n\r\n" % (2 * size)
    return not received(head + b"x" * size)[1].is_paused


def filled_template(size: int, _: Path) -> bool:
    xml = markup.parse_xml("<x/>")
    return len(system_texts._fill_template("$a$" + "x" * (size - 1), xml)) == size


def group_news(size: int, _: Path) -> bool:
    sentence = '"a" joined the group chat via the QR Code shared by "b"'
    return membership_texts.group_notice(sentence + " " * (size - len(sentence))) is not None


def money_news(size: int, _: Path) -> bool:
    sentence = "收到转账1.00元"
    return system_texts.money_notice(sentence + " " * (size - len(sentence))) is not None


def articles(count: int, _: Path) -> bool:
    source = f"<msg><appmsg><mmreader><category>{'<item><title>x</title></item>' * count}</category></mmreader></appmsg></msg>"
    return len(app_messages._articles(app_messages.read_app(entry(), source, "en"))) == count


def forwarded_messages(count: int, _: Path) -> bool:
    items = "<dataitem><datadesc>x</datadesc></dataitem>" * count
    record = f"<recordinfo><datalist>{items}</datalist></recordinfo>"
    source = f"<msg><appmsg><recorditem><![CDATA[{record}]]></recorditem></appmsg></msg>"
    content = app_messages.chat_history_message(app_messages.read_app(entry(), source, "en"))
    return len(content.detail["items"]) == count  # type: ignore[arg-type]


def address_book_pages(count: int, _: Path) -> bool:
    async def scenario() -> bool:
        client: Any = SimpleNamespace(
            clock=None,
            session=SimpleNamespace(handle=Handle("@me"), owner=Owner(handle=Handle("@me"), nickname="")),
        )
        members: Any = None
        pages = ContactList(client, members, ())

        async def fetch(seq: int) -> Any:
            return {"MemberList": [], "Seq": seq + 1 if seq + 1 < count else 0}

        pages._fetch_page = fetch  # type: ignore[method-assign]
        return (
            len([page async for page in pages._listed_pages()]) == count + 1
        )  # the last page is the owner's own

    return _run(scenario())


def recent_chats(count: int, _: Path) -> bool:
    clock: Any = None
    members: Any = SimpleNamespace(contains=lambda _handle: False)
    client: Any = SimpleNamespace(clock=clock)
    receiver = object.__new__(Receiver)
    receiver._client, receiver._group_members, receiver._pending_chats = client, members, {}
    names = ",".join(f"@{number}" for number in range(count))
    notify = entry(MsgType=51, StatusNotifyCode=4, StatusNotifyUserName=names)
    receiver._record_recent_chats(list(webwx_messages.recent_chats(notify)))
    return len(receiver._pending_chats) == count


def error_body(size: int, _: Path) -> bool:
    async def scenario() -> bool:
        async def more() -> AsyncIterator[bytes]:
            yield b"y"

        return (await download._read_error_body(b"x" * size, more())).endswith(b"y")

    return _run(scenario())


def cookie_date(size: int, _: Path) -> bool:
    date = "Thu, 01-Jan-1970 00:00:10 GMT"
    return webwx_cookies._is_expired({"expires": date[:5] + " " * (size - len(date)) + date[5:]}, 10)


def file_parameter(size: int, _: Path) -> bool:
    return crypto.picture_locator({"media": {"encrypt_query_param": "x" * size}}) is not None


def quoted_occurrence(number: int, _: Path) -> bool:
    return ilink_messages._nth_index("x" * (number + 1), "x", number) is not None


def bots(count: int) -> tuple[ilink_session.Bot, ...]:
    return tuple(
        ilink_session.Bot(id=f"b{number}", token="t", user=Handle(f"u{number}"), base="https://a")
        for number in range(count)
    )


def saved_logins(count: int, _: Path) -> bool:
    first, *others = bots(count)
    return len(ilink_session.with_bot(others, first)) == count


def items_of_message(count: int, _: Path) -> bool:
    received = ilink_messages.read_message({"from_user_id": "a", "item_list": [{}] * count}, "b", "en", 1)
    return received is not None and len(received.items) == count


def candidates(count: int, _: Path) -> bool:
    control = AddressBook({"bob": ContactPin(nickname="Bob")})
    for number in range(count):
        control.add_friend(f"bob{number}", "Bob")
    (event,) = (event for event in control.log_in().events if event.name == "unresolved")
    return event.fields["candidates"] == [control.topic_name_of(who) for who in control.contacts]


def jar(*lines: str) -> webwx_cookies.Cookies:
    return webwx_cookies.Cookies({}).with_response("wx.qq.com", lines, 0)


def cookies(count: int, _: Path) -> bool:
    return len(jar(*(f"c{number}=v" for number in range(count))).values) == count


def contact_name(size: int, _: Path) -> bool:
    contact = webwx_contacts.read_contact({"UserName": "@a", "NickName": "x" * size}, Handle("@me"))
    return contact is not None and len(contact.nickname) == size


def saved_chats(count: int, _: Path) -> bool:
    (bot,) = bots(1)
    chats = {Handle(f"c{number}"): ChatWindow(context_token="t") for number in range(count)}
    saved: Any = ilink_session.bots_to_saved([replace(bot, chats=chats)])
    return len(saved["bots"][0]["chats"]) == count


def chats_in_cursor(count: int, _: Path) -> bool:
    receiver = object.__new__(IlinkReceiver)
    window = ChatWindow(context_token="t", last_wrote=1)
    bot = replace(bots(1)[0], chats={Handle(f"c{number}"): window for number in range(count)})
    logins: Any = SimpleNamespace(bot=bot)
    receiver._logins = logins
    return len(ilink_session.SyncCursor.from_cursor(receiver._next_cursor("b")).chats) == count


def answer_of_home_assistant(size: int, _: Path) -> bool:
    answer = b'{"data": {"host": "a", "port": 1883' + b" " * (size - 37) + b"}}"
    assert len(answer) == size
    with pytest.MonkeyPatch.context() as patch:
        opener = SimpleNamespace(open=lambda *_arguments, **_named: io.BytesIO(answer))
        patch.setattr("urllib.request.build_opener", lambda *_handlers: opener)
        return find_brokers._ask_supervisor("token", "http://supervisor") is not None


def qr_content(size: int, _: Path) -> bool:
    code = ilink_responses.read_qr_code({"ret": 0, "qrcode": "q", "qrcode_img_content": "x" * size})
    return code.content != ""


WECHAT_DRIVERS: dict[str, Driver] = {
    "a line in the head of an answer of WeChat": answer_head_line,
    "lines in the head of an answer of WeChat": answer_head_lines,
    "an answer of WeChat that is not read yet, for each connection": unread_answer,
    "a text that WeChat makes from a template": filled_template,
    "a text of WeChat that may be the news of a group": group_news,
    "a text of WeChat that may be about money": money_news,
    "articles of a message": articles,
    "messages of a forwarded chat": forwarded_messages,
    "a line that shows a message of another kind": lambda size, _: "…" not in markup.clean_line("x" * size),
    "the picture of a scanner, in base64": lambda size, _: webwx_responses._decode_picture("A" * size) != b"",
    "people whom one event names as candidates": candidates,
    "a name of a contact": contact_name,
    "pages of the address book": address_book_pages,
    "recent chats of the phone that wait to be looked up": recent_chats,
    "an answer that is read as an error in place of a file": error_body,
    "cookies of WeChat": cookies,
    "a cookie of WeChat": lambda size, _: jar(f"a={'b' * (size - 2)}; Path=/") != jar(),
    "the end of a cookie": cookie_date,
    "digits of a number that WeChat writes as text": lambda size, _: (
        json_reader.read_number({"n": "9" * size}, "n") != 0
    ),
    "the content of a QR code (iLink)": qr_content,
    "the error text of a server that is shown (iLink)": lambda size, _: (
        len(ilink_responses.printable_error(("ab cd" * size)[:size])) == size
    ),
    "an address or a parameter of a file (iLink)": file_parameter,
    "the text of a quoted message (iLink)": lambda size, _: (
        len(str(ilink_messages.Quote(text="x" * size).detail()["text"])) == size
    ),
    "the number of a quoted part in its text (iLink)": quoted_occurrence,
    "items of a message (iLink)": items_of_message,
    "saved logins (iLink)": saved_logins,
    "chats of a saved login (iLink)": saved_chats,
    "chats whose tokens a position in the messages holds (iLink)": chats_in_cursor,
    "the answer of Home Assistant to `wx2mqtt setup`": answer_of_home_assistant,
}
