"""Who is in the simulated enterprise: the userid of each person and the chatid of each group (wecom 4.1)."""

from __future__ import annotations

import base64
import hashlib

from wx2mqtt.simulator.world import PersonKind, World, WorldContact, WorldGroup, WorldPerson

_USERIDS = {
    "me": "WangXiaoMing",
    "wife": "LiLi",
    "mom": "MaMa",
    "lilei": "LiLei",
    "hanmeimei": "Han.MeiMei",
    "twin1": "XiaoMing-1",
    "twin2": "XiaoMing-2",
}

_STAFF = (PersonKind.FRIEND, PersonKind.STRANGER)


def userid_of(person: str) -> str:
    """Returns the userid of a person of the world: the same in all runs; upper and lower case matter."""
    return _USERIDS.get(person, person.capitalize())


def chatid_of(group: str) -> str:
    """Returns the chatid of a group of the world, the same in all runs."""
    digest = hashlib.sha256(f"wecom group {group}".encode()).digest()
    return f"wrk{base64.b32encode(digest).decode()[:12]}{base64.b16encode(digest).decode().lower()[:14]}"


def handle_of(contact: WorldContact) -> str:
    """Returns the userid of a person, or the chatid of a group."""
    return chatid_of(contact.id) if isinstance(contact, WorldGroup) else userid_of(contact.id)


def is_staff(contact: WorldContact) -> bool:
    """Returns whether it is a person who may write to a bot, or a group."""
    return isinstance(contact, WorldGroup) or contact.kind in _STAFF


def staff(world: World) -> list[WorldContact]:
    """Returns the owner, all persons who may write to a bot, and all groups."""
    return [contact for contact in (world.owner, *world) if is_staff(contact)]


def find_person(world: World, userid: str) -> WorldPerson | None:
    """Returns the person with this userid; None when there is none."""
    found = (one for one in staff(world) if isinstance(one, WorldPerson) and userid_of(one.id) == userid)
    return next(found, None)


def find_group(world: World, chatid: str) -> WorldGroup | None:
    """Returns the group with this chatid; None when there is none."""
    found = (one for one in world if isinstance(one, WorldGroup) and chatid_of(one.id) == chatid)
    return next(found, None)
