"""Web WeChat: scripts and answers of the server, saved logins, cookies, addresses, file names."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

from tests.fuzz.mutators import (
    encode_json,
    grown,
    grown_json,
    mutated,
    mutated_json,
)
from tests.fuzz.oracles import JSON_MEMORY_FACTOR
from tests.fuzz.target import Target
from tests.fuzz.targets.webwx_samples import (
    ANSWERS,
    COOKIES,
    FIELD_WORDS,
    NOW_MS,
    PROFILE,
    SCRIPT_WORDS,
    SCRIPTS,
    check_url,
    names,
)
from tests.unit.wechat.webwx.entries import SESSION, WIFE
from wx2mqtt.errors import LoginRefused
from wx2mqtt.model import (
    Cursor,
    Kind,
    MarkRead,
    Recall,
    SendKey,
    SetRemark,
)
from wx2mqtt.wechat.json_reader import UnreadableJson, parse_json, read_objects
from wx2mqtt.wechat.webwx.protocol import (
    contacts,
    endpoints,
    markup,
    media_requests,
    requests,
    responses,
    session,
)
from wx2mqtt.wechat.webwx.protocol.cookies import ENDPOINT_HOST, Cookies
from wx2mqtt.wechat.webwx.protocol.hosts import from_cgi_bin, host_of, hosts_at_endpoint, hosts_of, is_wechat
from wx2mqtt.wechat.webwx.protocol.media_requests import encode_form
from wx2mqtt.wechat.webwx.protocol.session import Session, SyncCursor

# Answers


def _run_script(data: bytes) -> None:
    code = responses.read_qr_code(data)
    assert code.uuid.isascii()
    scan = responses.read_scan_answer(data)
    host_of(scan.redirect)
    with suppress(UnreadableJson):
        responses.read_sync_check(data)
    with suppress(UnreadableJson):
        responses.read_push_login(data)
    login = responses.read_new_login(data)
    with suppress(LoginRefused):
        sid, uin = responses.require_sid_and_uin(login, COOKIES, "zh")
        changed_session = replace(SESSION, sid=sid, uin=uin, skey=login.skey, pass_ticket=login.pass_ticket)
        _check_requests(changed_session)


def _run_answer(data: bytes) -> None:
    try:
        answer = parse_json(data)
    except UnreadableJson:
        return
    with suppress(UnreadableJson):
        responses.read_ret(answer)
    message = responses.read_error_message(answer)
    assert len(message) <= markup.MAX_LINE_CHARACTERS + 1
    init = responses.read_init(answer)
    owner = contacts.read_owner(init.user)
    contacts.owner_contact(owner)
    page, _ = read_objects(answer, "MemberList")
    batch, _ = read_objects(answer, "ContactList")
    update = responses.read_sync(answer)
    contacts.new_nickname(update.profile)
    contacts.read_contacts((*init.contacts, *page, *batch, *update.changed), owner.handle)
    responses.read_refused_members(answer)
    _check_position(update.position_after(SyncCursor()))
    session.read_sync_keys(answer, "SyncKey")


def _check_position(position: SyncCursor) -> None:
    assert SyncCursor.from_cursor(position.to_cursor()) == position
    url = requests.sync_check_request(SESSION, position, NOW_MS).url
    check_url(url)
    body = requests.sync_request(SESSION, position, NOW_MS).body
    assert body is not None
    json.loads(body)


_SAVED = [
    encode_json({**session.session_to_saved(SESSION, COOKIES, None)}),
    encode_json({**session.session_to_saved(SESSION, COOKIES, "https://proxy.example/x")}),
    encode_json({**session.session_to_saved(SESSION, COOKIES, None), "chats": [WIFE], "position": SyncCursor(
        sync=((1, 2),), check=((3, 4),)).to_cursor()}),
]  # fmt: skip


def _run_saved(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    position = SyncCursor.from_cursor(Cursor(text))
    _check_position(position)
    try:
        saved = parse_json(data)
    except UnreadableJson:
        return
    Cookies.from_saved(saved.get("cookies"))
    for endpoint in (None, "https://proxy.example/x"):
        for origin in session.host_origins(endpoint, saved):
            assert origin.startswith("https://")
        restored = session.session_from_saved(saved, endpoint)
        if restored is not None:
            assert session.is_saved_login(saved)
            restored_session, cookies = restored
            again = session.session_from_saved(
                session.session_to_saved(restored_session, cookies, endpoint), endpoint
            )
            assert again == restored
            _check_requests(restored_session)


def _check_requests(changed_session: Session) -> None:
    """Fails unless every request of a session is one that HTTP can carry."""
    key = SendKey("17000000001234")
    built = (
        requests.init_request(changed_session, NOW_MS),
        requests.status_notify_request(changed_session, NOW_MS),
        requests.get_contact_request(changed_session, 0, NOW_MS),
        requests.sync_check_request(changed_session, changed_session.position, NOW_MS),
        requests.sync_request(changed_session, changed_session.position, NOW_MS),
        requests.logout_request(changed_session),
        requests.push_login_request(changed_session, {"wxloadtime": "1_expired"}),
        requests.batch_get_request(changed_session, changed_session.chats[:3], NOW_MS),
        requests.chat_request(changed_session, Recall(chat=WIFE, message_id="1"), key),
        requests.chat_request(changed_session, MarkRead(chat=WIFE), key),
        requests.chat_request(changed_session, SetRemark(person=WIFE, remark="x"), key),
    )
    for request in built:
        check_url(request.url)
        for value in request.headers.values():
            assert value.isprintable()
        if request.body is not None and request.body.startswith(b"{"):
            json.loads(request.body)


def _run_cookies(data: bytes) -> None:
    lines = data.decode("latin-1").split("\n")
    for host in ("wx2.qq.com", ENDPOINT_HOST):
        cookies = Cookies({}).with_response(host, lines, 1.7e9)
        header = "; ".join(f"{name}={value}" for name, value in cookies.for_host(host).items())
        assert header.isascii()
        assert not header or header.isprintable()
        assert Cookies.from_saved(json.loads(json.dumps(cookies.to_saved()))) == cookies
        cookies.value("wxuin")
        assert not cookies.for_host("evil.example")


def _run_address(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    host = host_of(text)
    if is_wechat(text):
        assert host.endswith(("qq.com", "wechat.com"))
    profile = replace(PROFILE, hosts=hosts_of(host or "wx.qq.com"))
    requests.build_request(profile, endpoints.INIT, "r=1")
    hosts_at_endpoint(text)
    path = from_cgi_bin(text)
    assert path.startswith("/")
    request = requests.new_login_request(PROFILE, text)
    assert request.url.startswith(f"{PROFILE.hosts.base}/")
    check_url(requests.scan_poll_request(PROFILE, text[:64], first=True, now=NOW_MS).url)


def _run_filename(data: bytes) -> None:
    name = data.decode("utf-8", "replace")
    for kind, mime in ((Kind.FILE, "application/pdf"), (Kind.IMAGE, "image/png"), (Kind.VIDEO, "video/mp4")):
        title = media_requests.title_filename(name, kind, mime)
        assert title
        assert len(title.encode()) <= 255
        uploaded = media_requests.upload_filename(name, kind, mime)
        assert uploaded
        content_type, body = encode_form([("name", name)], uploaded, mime, data, "abcdef0123456789")
        assert body.count(content_type.partition("boundary=")[2].encode()) == 3


TARGETS = (
    Target(
        name="webwx.scripts",
        run=_run_script,
        parsers=(
            *names("responses", "read_qr_code", "read_scan_answer", "read_sync_check", "read_push_login"),
            *names("responses", "read_new_login", "require_sid_and_uin"),
            *names("hosts", "host_of"),
            *names("cookies", "Cookies.value"),
        ),
        seeds=SCRIPTS,
        generate=mutated(SCRIPTS, SCRIPT_WORDS),
        grow=grown(SCRIPTS, SCRIPT_WORDS),
        cost_factor=2.0,
        memory_factor=2.0,
    ),
    Target(
        name="webwx.answers",
        run=_run_answer,
        parsers=(
            *names("responses", "read_ret", "read_error_message", "read_init"),
            *names("responses", "read_refused_members", "read_sync"),
            *names(
                "contacts",
                "read_owner",
                "read_contact",
                "read_contacts",
                "new_nickname",
                "chat_kind_of",
                "is_group",
            ),
            *names("session", "read_sync_keys"),
            *(
                f"wechat.json_reader:{name}"
                for name in (
                    "read_text",
                    "read_number",
                    "read_integer",
                    "read_object",
                    "read_objects",
                )
            ),
        ),
        seeds=ANSWERS,
        generate=mutated_json(ANSWERS, FIELD_WORDS),
        grow=grown_json(ANSWERS, FIELD_WORDS),
        cost_factor=2.0,
        memory_factor=JSON_MEMORY_FACTOR,
    ),
    Target(
        name="webwx.saved_login",
        run=_run_saved,
        parsers=(
            *names(
                "session",
                "SyncCursor.from_cursor",
                "session_from_saved",
                "is_saved_login",
                "host_origins",
            ),
            *names("cookies", "Cookies.from_saved"),
            *names("session", "session_to_saved"),
            *names("hosts", "hosts_of", "hosts_at_endpoint"),
            *names(
                "requests",
                "push_login_request",
                "batch_get_request",
                "json_body",
                "signed_request",
                "build_request",
            ),
        ),
        seeds=_SAVED,
        generate=mutated_json(_SAVED, (*FIELD_WORDS, '{"sync":[[1,2]],"check":[[1,2]],"more":true}')),
        grow=grown_json(_SAVED, FIELD_WORDS),
        cost_factor=2.0,
        memory_factor=JSON_MEMORY_FACTOR,
    ),
    Target(
        name="webwx.cookies",
        run=_run_cookies,
        parsers=names("cookies", "Cookies.with_response", "Cookies.for_host", "Cookies.value"),
        seeds=(
            b"wxuin=211722515; Domain=wx2.qq.com; Path=/; Expires=Fri, 27-Nov-2026 12:00:00 GMT",
            b"webwx_data_ticket=gSf; Domain=.qq.com; Path=/; Secure; Max-Age=43200\nwxsid=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        ),
        generate=mutated(
            (b"a=b; Domain=.qq.com; Max-Age=1\nc=d; Expires=Thu, 01 Jan 1970 00:00:00 GMT", b"x=y"),
            (
                "; Domain=",
                "qq.com",
                ".com",
                "; Expires=",
                "; Max-Age=-",
                "Thu, 01 Jan 1970 00:00:00 GMT",
                "Feb",
                "+9999",
            ),
        ),
        grow=grown(
            (b"a=b; Domain=.qq.com; Max-Age=1\nc=d; Expires=Thu, 01 Jan 1970 00:00:00 GMT",),
            ("; Domain=", "qq.com", "; Expires=", "; Max-Age=", "\na=b", "\nx1=y"),
        ),
        cost_factor=4.0,
        memory_factor=2.0,
    ),
    Target(
        name="webwx.addresses",
        run=_run_address,
        parsers=(
            *names("hosts", "is_wechat", "host_of", "hosts_of", "from_cgi_bin"),
            *names("requests", "new_login_request", "scan_poll_request"),
        ),
        seeds=(
            b"https://wx2.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=A&uuid=4&lang=zh_CN&scan=1",
        ),
        generate=mutated(
            (
                b"https://wx2.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=A&uuid=4",
                b"https://web.wechat.com/x",
            ),
            ("/cgi-bin/", "://", "qq.com", "@", ":443", "#", "?", "evil.example"),
        ),
        grow=grown(
            (b"https://wx2.qq.com/cgi-bin/mmwebwx-bin/x?ticket=A",), ("/cgi-bin/", "://", "#", "?", ".")
        ),
    ),
    Target(
        name="webwx.file_names",
        run=_run_filename,
        parsers=(
            *names("media_requests", "title_filename", "upload_filename", "encode_form"),
            *("names:clean_filename", "names:cut_filename", "names:extension_of"),
            "names:composed",
        ),
        seeds=(
            b"R&D <1>.txt",
            "报告.pdf".encode(),
            b"2026-11-27 08:00:01.jpg",
            b".hidden",
            b"a" * 300,
        ),
        generate=mutated(
            ("报告.pdf".encode(), b"a.b.c", b"x" * 240 + b".doc"), (".", ".pdf", "\u202e", "‍", "\r\n", '"')
        ),
        grow=grown(("报告.pdf".encode(), b"a.b.c"), (".", "\u202e", "‍", "é")),
        cost_factor=4.0,
        memory_factor=5.0,  # a form holds the name and the file
    ),
)
