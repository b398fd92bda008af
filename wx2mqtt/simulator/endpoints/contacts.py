"""Contacts and their pictures.

Endpoints: webwxinit, webwxgetcontact, webwxbatchgetcontact (webwx 2.6, 2.8, 2.9), webwxgeticon and
webwxgetheadimg (webwx 2.16, 4.1).
"""

from __future__ import annotations

import time

from wx2mqtt.simulator import answers, checks, contact_fields, messages
from wx2mqtt.simulator.checks import PARAMETER_ERROR, Call, Fields
from wx2mqtt.simulator.endpoints.download import media_answer
from wx2mqtt.simulator.http_messages import SimulatedAnswer
from wx2mqtt.simulator.session import SimulatedSession, SyncKeys
from wx2mqtt.simulator.world import (
    INVITE_MEMBER_THRESHOLD,
    OWNER,
    PersonKind,
    WorldContact,
    WorldGroup,
    WorldPerson,
)


async def webwxgeticon(call: Call) -> SimulatedAnswer:
    """Returns a contact's picture; `seq` is the number in their HeadImgUrl."""
    return _avatar_answer(call, _avatar_owner(call))


async def webwxgetheadimg(call: Call) -> SimulatedAnswer:
    contact = _avatar_owner(call)
    if not isinstance(contact, WorldGroup):
        raise call.refusal(PARAMETER_ERROR, "webwxgetheadimg is for groups")
    return _avatar_answer(call, contact)


def _avatar_owner(call: Call) -> WorldContact:
    session = checks.cookie_session(call)
    query = call.request.query
    checks.require_method(call, "GET")
    if skey := query.get("skey"):  # empty in URLs from webwxbatchgetcontact: the cookies suffice
        checks.require_skey(call, session, skey)
    name = query.get("username")
    if name is None and "userName" in query:
        call.record_oddity("userName instead of username (itchat)")
        name = query["userName"]
    contact_id = session.id_of(name or "")
    world = call.wechat.world
    contact = world.owner if contact_id == OWNER else world.contacts.get(contact_id or "")
    if contact is None:
        raise call.refusal(PARAMETER_ERROR, "username is unknown in this login")
    room = query.get("chatroomid")
    if room and not session.is_known_room(room):
        raise call.refusal(PARAMETER_ERROR, "chatroomid is no group's of this login")
    return contact


def _avatar_answer(call: Call, contact: WorldContact) -> SimulatedAnswer:
    attachment = call.wechat.media.avatar(contact.id, contact.avatar)
    return media_answer(call, attachment, attachment.content, "", "image/jpeg")


MAX_BATCH_NAMES = 50
_MAX_RECENT_CHATS = 10


async def webwxinit(call: Call) -> SimulatedAnswer:
    """Returns the account, the first SyncKey and the recent chats."""
    session, _ = checks.authenticated_body(call)
    wechat = call.wechat
    first = session.inits == 0
    position = wechat.start_session(session)
    if first and wechat.settings.new_skey:
        session.new_skey()
    recent = _recent_chats(call)
    return answers.json(
        0,
        Count=len(recent),
        ContactList=[
            contact_fields.contact_entry(wechat.world, session, contact, skey=session.skey, hide_names=True)
            for contact in recent
        ],
        SyncKey=_sync_key_fields(session.log.sync_key(position)),
        User=contact_fields.owner_entry(session, wechat.world.owner),
        ChatSet="".join(f"{session.user_name(contact)}," for contact in wechat.world.chats()[:40]),
        SKey=session.skey if wechat.settings.new_skey else "",
        ClientVersion=637927733,
        SystemTime=int(time.time()),
        GrayScale=1,
        InviteStartCount=INVITE_MEMBER_THRESHOLD,
        **_articles(call, session),
        ClickReportInterval=600000,
    )


def _sync_key_fields(keys: SyncKeys) -> Fields:
    return {"Count": len(keys), "List": [{"Key": key, "Val": value} for key, value in keys]}


def _recent_chats(call: Call) -> list[WorldContact]:
    """Returns the file helper, then groups, then people.

    Groups come early because their members have no names here, which breaks some clients.
    """
    order = {WorldGroup: 1, WorldPerson: 2}
    return sorted(call.wechat.world.chats(), key=lambda c: 0 if c.id == "filehelper" else order[type(c)])[
        :_MAX_RECENT_CHATS
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
            "NickName": messages.encode_name(account.nickname),
        }
        for account in accounts
    ]
    return {"MPSubscribeMsgCount": len(pushes), "MPSubscribeMsgList": pushes}


async def webwxgetcontact(call: Call) -> SimulatedAnswer:
    """Returns one page of the address book; `Seq` is the parameter of the next call, 0 on the last page."""
    checks.require_method(call, "GET", tolerated="POST")
    session = checks.cookie_session(call)
    checks.require_skey(call, session, call.request.query.get("skey", ""))
    checks.require_pass_ticket(call, session)
    settings = call.wechat.settings
    if session.empty_contacts_given < settings.empty_contacts:
        session.empty_contacts_given += 1
        return answers.json(0, MemberCount=0, MemberList=[], Seq=0)
    everybody = [c for c in call.wechat.world if contact_fields.in_address_book(c)]
    everybody = [call.wechat.world.owner, *everybody]
    start = _page_start(call)
    page = everybody[start : start + settings.page_size]
    more = start + len(page) < len(everybody)
    return _page_answer(call, session, page, seq=_FIRST_SEQ + start + len(page) if more else 0)


_FIRST_SEQ = 640_000_000


def _page_start(call: Call) -> int:
    text = call.request.query.get("seq", "0") or "0"
    if text == "0":
        return 0
    start = int(text) - _FIRST_SEQ if text.isdecimal() else -1
    if start <= 0 or start > len(call.wechat.world.contacts) + 1:
        raise call.refusal(checks.PARAMETER_ERROR, "seq was never given")
    return start


def _page_answer(
    call: Call, session: SimulatedSession, people: list[WorldContact], *, seq: int
) -> SimulatedAnswer:
    entries = b", ".join(_rendered(call, session, contact) for contact in people)
    head = messages.dump_json({**answers.base_response(0), "MemberCount": len(people)})[:-1]
    return SimulatedAnswer(body=b'%s, "MemberList": [%s], "Seq": %d}' % (head, entries, seq))


def _rendered(call: Call, session: SimulatedSession, contact: WorldContact) -> bytes:
    entry = session.rendered_contacts.get(contact.id)
    if entry is None:
        entry = messages.dump_json(
            contact_fields.contact_entry(call.wechat.world, session, contact, skey=session.skey)
        )
        session.rendered_contacts[contact.id] = entry
    return entry


async def webwxbatchgetcontact(call: Call) -> SimulatedAnswer:
    """Returns groups with their members, people, or members of a group.

    At most 50 names a call; unknown names are left out.
    """
    session, body = checks.authenticated_body(call)
    if call.request.query.get("type") != "ex":
        call.record_oddity("no type=ex")
    requested = body.get("List")
    if not isinstance(requested, list) or body.get("Count") != len(requested):
        raise call.refusal(checks.PARAMETER_ERROR, "Count is not the length of List")
    if len(requested) > MAX_BATCH_NAMES:
        raise call.refusal(checks.PARAMETER_ERROR, f"more than {MAX_BATCH_NAMES} names")
    requested_contacts = [
        contact for item in requested if (contact := _requested_contact(call, session, item)) is not None
    ]
    entries = [
        contact_fields.contact_entry(call.wechat.world, session, contact, skey="")
        for contact in requested_contacts
    ]
    return answers.json(0, Count=len(entries), ContactList=entries)


def _requested_contact(call: Call, session: SimulatedSession, entry: object) -> WorldContact | None:
    name = entry.get("UserName") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(name, str):
        raise call.refusal(checks.PARAMETER_ERROR, "an entry of List has no UserName")
    room = entry.get("EncryChatRoomId") or ""
    if room and not session.is_known_room(str(room)) and not name.startswith("@@"):
        call.record_violation("EncryChatRoomId is no group's of this login")
        return None
    contact_id = session.id_of(name)
    if contact_id is None:
        return None
    contact = call.wechat.world.contacts.get(contact_id)
    return call.wechat.world.owner if contact_id == call.wechat.world.owner.id else contact
