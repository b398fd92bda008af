"""Control API for people and groups: `/sim/people`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from wx2mqtt.simulator.http_messages import Request
from wx2mqtt.simulator.wechat import WeChat
from wx2mqtt.simulator.world import BadPerson, WorldContact, WorldGroup, make_group, make_person

Fields = dict[str, object]


async def list_people(wechat: WeChat, _: Request, __: Fields) -> list[Fields]:
    return [_contact_values(contact) for contact in (wechat.world.owner, *wechat.world)]


def _contact_values(contact: WorldContact) -> Fields:
    kind: Fields = {"kind": "group"} if isinstance(contact, WorldGroup) else {}
    return {**asdict(contact), **kind}


async def change_people(wechat: WeChat, _: Request, order: Fields) -> Fields:
    """Applies all parts of an order in the sequence of `_CHANGES`; each one notifies the active login."""
    unknown = [key for key in order if key not in _COUNT_KEYS and key not in _CHANGES]
    if unknown:
        raise BadPerson(f"unknown: {', '.join(unknown)}; known: {', '.join((*_COUNT_KEYS, *_CHANGES))}")
    counts = {key: order[key] for key in _COUNT_KEYS if key in order}
    if counts:
        _populate(wechat, counts)
    for key, apply_change in _CHANGES.items():
        if key in order:
            for part in _object_list(order[key]):
                apply_change(wechat, part)
    return {"people": len(wechat.world.contacts)}


_COUNT_KEYS = ("friends", "groups", "members")


def _populate(wechat: WeChat, counts: Fields) -> None:
    numbers = {key: value for key, value in counts.items() if isinstance(value, int) and value >= 0}
    if len(numbers) != len(counts):
        raise BadPerson("friends, groups and members must be numbers")
    wechat.world.populate(**numbers)


def _object_list(parts: object) -> list[Fields]:
    values = parts if isinstance(parts, list) else [parts]
    objects = [value for value in values if isinstance(value, dict)]
    if len(objects) != len(values):
        raise BadPerson("each part is an object or a list of objects")
    return objects


def _text(order: Fields, key: str) -> str:
    value = order.get(key)
    if not isinstance(value, str):
        raise BadPerson(f"{key} must be text")
    return value


def _add(wechat: WeChat, order: Fields) -> None:
    wechat.contact_changed(wechat.world.add(make_person(order)))


def _add_group(wechat: WeChat, order: Fields) -> None:
    wechat.contact_changed(wechat.world.add(make_group(order)))


def _set(wechat: WeChat, order: Fields) -> None:
    values = {key: value for key, value in order.items() if key != "id"}
    wechat.contact_changed(wechat.world.change(_text(order, "id"), values))


def _owner(wechat: WeChat, order: Fields) -> None:
    uin = order.get("uin", wechat.world.uin)
    if not isinstance(uin, int):
        raise BadPerson("uin must be a number")
    wechat.world.change("me", {key: value for key, value in order.items() if key != "uin"})
    wechat.world.uin = uin


def _rename(wechat: WeChat, order: Fields) -> None:
    _set(wechat, {"id": order.get("id"), "nickname": order.get("nickname")})


def _remark(wechat: WeChat, order: Fields) -> None:
    _set(wechat, {"id": order.get("id"), "remark": order.get("remark")})


def _avatar(wechat: WeChat, order: Fields) -> None:
    wechat.contact_changed(wechat.world.new_avatar(_text(order, "id")))


def _remove(wechat: WeChat, order: Fields) -> None:
    contact = wechat.world.find(_text(order, "id"))
    wechat.contact_deleted(contact)
    wechat.world.remove(contact.id)


def _join(wechat: WeChat, order: Fields) -> None:
    group = wechat.world.group(_text(order, "group"))
    person = wechat.world.person(_text(order, "id"))
    if person.id not in group.members:
        group.members.append(person.id)
    wechat.contact_changed(group)


def _leave(wechat: WeChat, order: Fields) -> None:
    group = wechat.world.group(_text(order, "group"))
    person = wechat.world.person(_text(order, "id"))
    if person.id in group.members:
        group.members.remove(person.id)
    wechat.contact_changed(group)


def _display(wechat: WeChat, order: Fields) -> None:
    """Sets a member's display name in a group; no event announces it (webwx 4.5.4)."""
    group = wechat.world.group(_text(order, "group"))
    group.display_names[_text(order, "id")] = _text(order, "name")


_CHANGES: dict[str, Callable[[WeChat, Fields], None]] = {
    "owner": _owner,
    "add": _add,
    "add_group": _add_group,
    "set": _set,
    "rename": _rename,
    "remark": _remark,
    "avatar": _avatar,
    "join": _join,
    "leave": _leave,
    "display": _display,
    "remove": _remove,
}
