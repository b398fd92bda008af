"""The pictures of people and groups: webwxgeticon and webwxgetheadimg (webwx 2.16, 4.1)."""

from __future__ import annotations

from wx2mqtt.simulator import checks
from wx2mqtt.simulator.checks import PARAMETER_ERROR, Call
from wx2mqtt.simulator.endpoints.download import give
from wx2mqtt.simulator.exchange import Answer
from wx2mqtt.simulator.world import OWNER, Contact, Group


async def webwxgeticon(call: Call) -> Answer:
    """Somebody's picture; `seq` is the number in their HeadImgUrl."""
    return _picture(call, _contact(call))


async def webwxgetheadimg(call: Call) -> Answer:
    """A group's picture."""
    contact = _contact(call)
    if not isinstance(contact, Group):
        raise call.refuse(PARAMETER_ERROR, "webwxgetheadimg is for groups")
    return _picture(call, contact)


def _contact(call: Call) -> Contact:
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


def _picture(call: Call, contact: Contact) -> Answer:
    attachment = call.wechat.media.avatar(contact.id, contact.avatar)
    return give(call, attachment, attachment.content, "", "image/jpeg")
