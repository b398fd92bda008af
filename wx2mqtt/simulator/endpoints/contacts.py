"""The pictures of people and groups: webwxgeticon and webwxgetheadimg (webwx 2.16, 4.1).

Who there is: webwxinit, webwxgetcontact, webwxbatchgetcontact (webwx 2.6, 2.8, 2.9).
"""

from __future__ import annotations

import time

from wx2mqtt.simulator import answers, checks, contact_fields, messages
from wx2mqtt.simulator.checks import PARAMETER_ERROR, Call, Fields
from wx2mqtt.simulator.endpoints.download import give
from wx2mqtt.simulator.http_messages import SimulatedAnswer
from wx2mqtt.simulator.session import KeyList, SimulatedSession
from wx2mqtt.simulator.world import INVITE_FROM, OWNER, PersonKind, WorldContact, WorldGroup, WorldPerson


async def webwxgeticon(call: Call) -> SimulatedAnswer:
    """Somebody's picture; `seq` is the number in their HeadImgUrl."""
    return _picture(call, _contact(call))


async def webwxgetheadimg(call: Call) -> SimulatedAnswer:
    """A group's picture."""
    contact = _contact(call)
    if not isinstance(contact, WorldGroup):
        raise call.refuse(PARAMETER_ERROR, "webwxgetheadimg is for groups")
    return _picture(call, contact)


def _contact(call: Call) -> WorldContact:
    session, query = checks.cookie_session(call), call.request.query
    checks.method(call, "GET")
    if skey := query.get("skey"):  # empty in the answers of webwxbatchgetcontact: the cookies do
        checks.skey(call, session, skey)
    name = query.get("username")
    if name is None and "userName" in query:
        call.oddity("userName instead of username (itchat)")
        name = query["userName"]
    contact_id = session.id_of(name or "")
    world = call.wechat.world
    contact = world.owner if contact_id == OWNER else world.contacts.get(contact_id or "")
    if contact is None:
        raise call.refuse(PARAMETER_ERROR, "username is unknown in this login")
    room = query.get("chatroomid")
    if room and not session.is_room(room):
        raise call.refuse(PARAMETER_ERROR, "chatroomid is no group's of this login")
    return contact


def _picture(call: Call, contact: WorldContact) -> SimulatedAnswer:
    attachment = call.wechat.media.avatar(contact.id, contact.avatar)
    return give(call, attachment, attachment.content, "", "image/jpeg")


BATCH_LIMIT = 50


_RECENT = 10


async def webwxinit(call: Call) -> SimulatedAnswer:
    """The account, the first SyncKey, the recent chats."""
    session, _ = checks.signed_body(call)
    wechat = call.wechat
    first = session.inits == 0
    position = wechat.start_session(session)
    if first and wechat.settings.new_skey:
        session.new_skey()
    recent = _recent(call)
    return answers.json(
        0,
        Count=len(recent),
        ContactList=[
            contact_fields.full(wechat.world, session, contact, skey=session.skey, hollow=True)
            for contact in recent
        ],
        SyncKey=_keys(session.log.sync_key(position)),
        User=contact_fields.owner(session, wechat.world.owner, uin=wechat.world.uin),
        ChatSet="".join(f"{session.user_name(contact)}," for contact in wechat.world.chats()[:40]),
        SKey=session.skey if wechat.settings.new_skey else "",
        ClientVersion=637927733,
        SystemTime=int(time.time()),
        GrayScale=1,
        InviteStartCount=INVITE_FROM,
        **_articles(call, session),
        ClickReportInterval=600000,
    )


def _keys(keys: KeyList) -> Fields:
    return {"Count": len(keys), "List": [{"Key": key, "Val": value} for key, value in keys]}


def _recent(call: Call) -> list[WorldContact]:
    """The file helper, then groups, then the others: hollow groups are what trips clients up."""
    order = {WorldGroup: 1, WorldPerson: 2}
    return sorted(call.wechat.world.chats(), key=lambda c: 0 if c.id == "filehelper" else order[type(c)])[
        :_RECENT
    ]


def _articles(call: Call, session: SimulatedSession) -> Fields:
    accounts = [c for c in call.wechat.world if isinstance(c, WorldPerson) and c.kind is PersonKind.OFFICIAL][
        :1
    ]
    articles = [
        {
            "Title": "解码新时代",
            "Digest": "第一条",
            "Cover": "http://mmbiz.qpic.cn/cover",
            "Url": "http://mp.weixin.qq.com/s",
        },
    ]
    pushes = [
        {
            "UserName": session.user_name(account),
            "MPArticleCount": 1,
            "MPArticleList": articles,
            "Time": session.load_time,
            "NickName": messages.name(account.nickname),
        }
        for account in accounts
    ]
    return {"MPSubscribeMsgCount": len(pushes), "MPSubscribeMsgList": pushes}


async def webwxgetcontact(call: Call) -> SimulatedAnswer:
    """The address book, a page an answer: `Seq` is what to ask with next, 0 at the end."""
    checks.method(call, "GET", tolerated="POST")
    session = checks.cookie_session(call)
    checks.skey(call, session, call.request.query.get("skey", ""))
    checks.pass_ticket(call, session)
    settings = call.wechat.settings
    if session.empty_contacts_given < settings.empty_contacts:
        session.empty_contacts_given += 1
        return answers.json(0, MemberCount=0, MemberList=[], Seq=0)
    everybody = [c for c in call.wechat.world if contact_fields.in_address_book(c)]
    everybody = [call.wechat.world.owner, *everybody]
    start = _start(call)
    page = everybody[start : start + settings.page_size]
    more = start + len(page) < len(everybody)
    return _page(call, session, page, seq=_FIRST_SEQ + start + len(page) if more else 0)


_FIRST_SEQ = 640_000_000


def _start(call: Call) -> int:
    text = call.request.query.get("seq", "0") or "0"
    if text == "0":
        return 0
    start = int(text) - _FIRST_SEQ if text.isdecimal() else -1
    if start <= 0 or start > len(call.wechat.world.contacts) + 1:
        raise call.refuse(checks.PARAMETER_ERROR, "seq was never given")
    return start


def _page(call: Call, session: SimulatedSession, people: list[WorldContact], *, seq: int) -> SimulatedAnswer:
    entries = b", ".join(_rendered(call, session, contact) for contact in people)
    head = messages.dump({**answers.base_response(0), "MemberCount": len(people)})[:-1]
    return SimulatedAnswer(body=b'%s, "MemberList": [%s], "Seq": %d}' % (head, entries, seq))


def _rendered(call: Call, session: SimulatedSession, contact: WorldContact) -> bytes:
    known = session.rendered.get(contact.id)
    if known is None:
        known = messages.dump(contact_fields.full(call.wechat.world, session, contact, skey=session.skey))
        session.rendered[contact.id] = known
    return known


async def webwxbatchgetcontact(call: Call) -> SimulatedAnswer:
    """Groups with their members, people, or members of a group; at most 50; unknown names are left out."""
    session, body = checks.signed_body(call)
    if call.request.query.get("type") != "ex":
        call.oddity("no type=ex")
    asked = body.get("List")
    if not isinstance(asked, list) or body.get("Count") != len(asked):
        raise call.refuse(checks.PARAMETER_ERROR, "Count is not the length of List")
    if len(asked) > BATCH_LIMIT:
        raise call.refuse(checks.PARAMETER_ERROR, f"more than {BATCH_LIMIT} names")
    found = [contact for one in asked if (contact := _asked(call, session, one)) is not None]
    entries = [contact_fields.full(call.wechat.world, session, contact, skey="") for contact in found]
    return answers.json(0, Count=len(entries), ContactList=entries)


def _asked(call: Call, session: SimulatedSession, one: object) -> WorldContact | None:
    name = one.get("UserName") if isinstance(one, dict) else None
    if not isinstance(one, dict) or not isinstance(name, str):
        raise call.refuse(checks.PARAMETER_ERROR, "an entry of List has no UserName")
    room = one.get("EncryChatRoomId") or ""
    if room and not session.is_room(str(room)) and not name.startswith("@@"):
        call.violation("EncryChatRoomId is no group's of this login")
        return None
    contact_id = session.id_of(name)
    if contact_id is None:
        return None
    contact = call.wechat.world.contacts.get(contact_id)
    return call.wechat.world.owner if contact_id == call.wechat.world.owner.id else contact
