"""The people of the simulation: the account's owner, friends and groups. They stay across logins.

Ids are readable names (`wife`, `family`). WeChat's user names belong to a login, not to this module.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TypeVar

OWNER = "me"
INVITE_MEMBER_THRESHOLD = 40
"""InviteStartCount: a group of this size invites people instead of adding them (webwx 2.19.3)."""


class PersonKind(StrEnum):
    """The kind of an address book entry (webwx 4.3.1)."""

    FRIEND = "friend"
    OFFICIAL = "official"
    SPECIAL = "special"
    STRANGER = "stranger"


class UnknownPerson(KeyError):
    """No person or group has that id."""

    def __str__(self) -> str:
        return f"nobody is named {self.args[0]!r}"


class BadPerson(ValueError):
    """The field does not exist, or its value is not allowed."""


@dataclass(slots=True, kw_only=True)
class WorldPerson:
    """A person of the address book, or a stranger in a group.

    `avatar` is the number of the picture, the same in every login. `deleted_me` and `blocked_me` decide which
    notice the owner's messages cause (webwx 3.10.5).
    """

    id: str
    nickname: str
    kind: PersonKind = PersonKind.FRIEND
    remark: str = ""
    alias: str = ""
    wxid: str = ""
    avatar: int = 0
    sex: int = 0
    province: str = ""
    city: str = ""
    signature: str = ""
    verify_flag: int = 0
    contact_flag: int = 3
    attr_status: int = 0
    sns_flag: int = 17
    star: int = 0
    deleted_me: bool = False
    blocked_me: bool = False


@dataclass(slots=True, kw_only=True)
class WorldGroup:
    """A group chat. Only `saved` groups are in the address book.

    `members` are ids and include the owner; `display_names` are the members' names in this group.
    """

    id: str
    nickname: str
    members: list[str] = field(default_factory=list)
    display_names: dict[str, str] = field(default_factory=dict)
    remark: str = ""
    avatar: int = 0
    saved: bool = True
    muted: bool = False
    founder: str = OWNER


WorldContact = WorldPerson | WorldGroup
T = TypeVar("T", WorldPerson, WorldGroup)


class World:
    """All people and groups by id, in the sequence of their creation."""

    def __init__(self, owner: WorldPerson, *, uin: int) -> None:
        self.owner = owner
        self.uin = uin
        self.contacts: dict[str, WorldContact] = {}
        self._avatars = itertools.count(620_000_001)

    def __iter__(self) -> Iterator[WorldContact]:
        return iter(self.contacts.values())

    def find(self, contact_id: str) -> WorldContact:
        """Returns the owner, a person or a group; raises `UnknownPerson`."""
        if contact_id == OWNER:
            return self.owner
        try:
            return self.contacts[contact_id]
        except KeyError:
            raise UnknownPerson(contact_id) from None

    def person(self, person_id: str) -> WorldPerson:
        """Returns the owner or a person; raises `UnknownPerson`."""
        contact = self.find(person_id)
        if not isinstance(contact, WorldPerson):
            raise UnknownPerson(person_id)
        return contact

    def group(self, group_id: str) -> WorldGroup:
        """Returns a group; raises `UnknownPerson`."""
        contact = self.find(group_id)
        if not isinstance(contact, WorldGroup):
            raise UnknownPerson(group_id)
        return contact

    def chats(self) -> list[WorldContact]:
        """Returns all contacts that can have a chat: no strangers."""
        return [c for c in self if isinstance(c, WorldGroup) or c.kind is not PersonKind.STRANGER]

    def groups_of(self, person_id: str) -> list[WorldGroup]:
        return [c for c in self if isinstance(c, WorldGroup) and person_id in c.members]

    def add(self, contact: WorldContact) -> WorldContact:
        """Adds or replaces a contact; issues an avatar number if it has none."""
        if contact.id == OWNER:
            raise BadPerson("the owner is there already")
        contact.avatar = contact.avatar or next(self._avatars)
        if isinstance(contact, WorldGroup):
            self._check_members(contact)
        self.contacts[contact.id] = contact
        return contact

    def free_id(self, name: str) -> str:
        """Returns an unused id: `name` and a number."""
        return next(
            candidate
            for number in itertools.count(1)
            if (candidate := f"{name}{number}") not in self.contacts
        )

    def remove(self, contact_id: str) -> WorldContact:
        """Removes a contact; a friend who is in a group becomes a stranger."""
        contact = self.find(contact_id)
        if isinstance(contact, WorldPerson) and self.groups_of(contact_id):
            contact.kind = PersonKind.STRANGER
            contact.contact_flag = 0
        else:
            self.contacts.pop(contact_id, None)
        return contact

    def change(self, contact_id: str, values: Mapping[str, object]) -> WorldContact:
        """Sets fields of a contact; raises `BadPerson`."""
        contact = self.find(contact_id)
        checked = {key: _checked(contact, key, value) for key, value in values.items()}
        for key, value in checked.items():
            setattr(contact, key, value)
        if isinstance(contact, WorldGroup):
            self._check_members(contact)
        return contact

    def new_avatar(self, contact_id: str) -> WorldContact:
        contact = self.find(contact_id)
        contact.avatar = next(self._avatars)
        return contact

    def populate(self, *, friends: int = 0, groups: int = 0, members: int = 5) -> None:
        """Creates `friend1` to `friendN` and `group1` to `groupM` (`members` people each) unless present."""
        for number in range(1, friends + 1):
            if f"friend{number}" not in self.contacts:
                self.add(_generated_friend(number))
        for number in range(1, groups + 1):
            if f"group{number}" not in self.contacts:
                self.add(self._generated_group(number, members))

    def _generated_group(self, number: int, members: int) -> WorldGroup:
        people = [c.id for c in self if isinstance(c, WorldPerson) and c.kind is PersonKind.FRIEND]
        start = number % max(1, len(people))
        chosen = [*people[start:], *people[:start]][: max(0, members - 1)]
        return WorldGroup(id=f"group{number}", nickname=f"群聊{number}", members=[OWNER, *chosen])

    def _check_members(self, group: WorldGroup) -> None:
        for member in group.members:
            self.person(member)


def _generated_friend(number: int) -> WorldPerson:
    return WorldPerson(
        id=f"friend{number}",
        nickname=f"好友{number}",
        remark=f"备注{number}" if number % 2 else "",
        wxid=f"wxid_friend{number}",
        sex=1 + number % 2,
        province="北京",
        city="海淀",
        attr_status=100_000 + number,
    )


def _checked(contact: WorldContact, key: str, value: object) -> object:
    if key == "id" or key not in {f.name for f in fields(contact)}:
        raise BadPerson(f"{type(contact).__name__} has no field {key!r} that can be set")
    if key == "kind":
        return PersonKind(str(value))
    if type(value) is not type(getattr(contact, key)):
        raise BadPerson(f"{key} must be {type(getattr(contact, key)).__name__}, not {value!r}")
    return value


def make_person(values: Mapping[str, object]) -> WorldPerson:
    """Returns a person from plain values; `id` is required."""
    return _with_values(WorldPerson(id=_id(values), nickname=_id(values)), values)


def make_group(values: Mapping[str, object]) -> WorldGroup:
    """Returns a group from plain values; `id` is required. Without members it has only the owner."""
    return _with_values(WorldGroup(id=_id(values), nickname=_id(values), members=[OWNER]), values)


def _id(values: Mapping[str, object]) -> str:
    contact_id = values.get("id")
    if not isinstance(contact_id, str) or not contact_id:
        raise BadPerson("id must be text")
    return contact_id


def _with_values(contact: T, values: Mapping[str, object]) -> T:
    for key, value in values.items():
        if key != "id":
            setattr(contact, key, _checked(contact, key, value))
    return contact


UIN = 211722515

_FRIENDS = (
    WorldPerson(
        id="wife",
        nickname="晓梅🌸",
        remark="老婆",
        wxid="wxid_xiaomei",
        sex=2,
        province="北京",
        city="朝阳",
        signature="☀ 一定会找到🌛",
        attr_status=111719,
    ),
    WorldPerson(
        id="mom",
        nickname="平安是福",
        remark="妈妈",
        wxid="wxid_mama",
        sex=2,
        province="山东",
        city="青岛",
        attr_status=2359303,
    ),
    WorldPerson(
        id="lilei",
        nickname="李雷",
        alias="lilei_1986",
        wxid="wxid_lilei",
        sex=1,
        province="北京",
        city="平谷",
        attr_status=103467,
    ),
    WorldPerson(
        id="hanmeimei",
        nickname="Han Meimei & Co <3",
        wxid="wxid_hmm",
        sex=2,
        province="Jakarta Raya",
        attr_status=233_509,
    ),
    WorldPerson(
        id="twin1",
        nickname="小明",
        wxid="wxid_twin1",
        sex=1,
        province="上海",
        city="浦东新区",
        attr_status=4_129_895,
    ),
    WorldPerson(
        id="twin2",
        nickname="小明",
        wxid="wxid_twin2",
        sex=1,
        province="上海",
        city="徐汇",
        attr_status=4_129_911,
    ),
)

_STRANGERS = (
    WorldPerson(
        id="aunt", nickname="三姨", kind=PersonKind.STRANGER, wxid="wxid_aunt", contact_flag=0, sex=2
    ),
    WorldPerson(
        id="uncle", nickname="Uncle Bob", kind=PersonKind.STRANGER, wxid="wxid_uncle", contact_flag=0, sex=1
    ),
)

_ACCOUNTS = (
    WorldPerson(
        id="news",
        nickname="中国日报双语新闻",
        kind=PersonKind.OFFICIAL,
        wxid="gh_news",
        verify_flag=24,
        sns_flag=0,
    ),
    WorldPerson(
        id="filehelper", nickname="文件传输助手", kind=PersonKind.SPECIAL, contact_flag=1, sns_flag=0
    ),
    WorldPerson(
        id="weixin", nickname="微信团队", kind=PersonKind.SPECIAL, verify_flag=56, contact_flag=1, sns_flag=0
    ),
    WorldPerson(id="fmessage", nickname="朋友推荐消息", kind=PersonKind.SPECIAL, contact_flag=1, sns_flag=0),
    WorldPerson(id="medianote", nickname="语音记事本", kind=PersonKind.SPECIAL, contact_flag=1, sns_flag=0),
)

_GROUPS = (
    WorldGroup(
        id="family",
        nickname="相亲相爱一家人",
        members=[OWNER, "wife", "mom", "aunt"],
        display_names={"mom": "老妈", "aunt": "三姨🌼"},
    ),
    WorldGroup(
        id="work",
        nickname="项目组",
        members=["lilei", OWNER, "hanmeimei", "uncle"],
        saved=False,
        founder="lilei",
    ),
)


def fresh_world() -> World:
    """Returns the default people: the owner (`me`), friends, strangers, official accounts and two groups."""
    owner = WorldPerson(
        id=OWNER,
        nickname="王小明",
        wxid="wxid_me",
        avatar=1_730_335_888,
        sex=1,
        signature="这里是签名",
        contact_flag=0,
    )
    world = World(owner, uin=UIN)
    for contact in (*_ACCOUNTS, *_FRIENDS, *_STRANGERS):
        world.add(_copy(contact))
    for group in _GROUPS:
        world.add(_copy_group(group))
    return world


def _copy(person: WorldPerson) -> WorldPerson:
    return WorldPerson(**{name: getattr(person, name) for name in WorldPerson.__slots__})


def _copy_group(group: WorldGroup) -> WorldGroup:
    values = {name: getattr(group, name) for name in WorldGroup.__slots__}
    return WorldGroup(**{**values, "members": [*group.members], "display_names": {**group.display_names}})
