"""The people of a fresh world: few, but with every trait that a client must cope with."""

from __future__ import annotations

from wx2mqtt.simulator.world import OWNER, Group, Person, PersonKind, World

UIN = 211722515

_FRIENDS = (
    Person(
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
    Person(
        id="mom",
        nickname="平安是福",
        remark="妈妈",
        wxid="wxid_mama",
        sex=2,
        province="山东",
        city="青岛",
        attr_status=2359303,
    ),
    Person(
        id="lilei",
        nickname="李雷",
        alias="lilei_1986",
        wxid="wxid_lilei",
        sex=1,
        province="北京",
        city="平谷",
        attr_status=103467,
    ),
    Person(
        id="hanmeimei",
        nickname="Han Meimei & Co <3",
        wxid="wxid_hmm",
        sex=2,
        province="Jakarta Raya",
        attr_status=233_509,
    ),
    Person(
        id="twin1",
        nickname="小明",
        wxid="wxid_twin1",
        sex=1,
        province="上海",
        city="浦东新区",
        attr_status=4_129_895,
    ),
    Person(
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
    Person(id="aunt", nickname="三姨", kind=PersonKind.STRANGER, wxid="wxid_aunt", contact_flag=0, sex=2),
    Person(
        id="uncle", nickname="Uncle Bob", kind=PersonKind.STRANGER, wxid="wxid_uncle", contact_flag=0, sex=1
    ),
)

_ACCOUNTS = (
    Person(
        id="news",
        nickname="中国日报双语新闻",
        kind=PersonKind.OFFICIAL,
        wxid="gh_news",
        verify_flag=24,
        sns_flag=0,
    ),
    Person(id="filehelper", nickname="文件传输助手", kind=PersonKind.SPECIAL, contact_flag=1, sns_flag=0),
    Person(
        id="weixin", nickname="微信团队", kind=PersonKind.SPECIAL, verify_flag=56, contact_flag=1, sns_flag=0
    ),
    Person(id="fmessage", nickname="朋友推荐消息", kind=PersonKind.SPECIAL, contact_flag=1, sns_flag=0),
    Person(id="medianote", nickname="语音记事本", kind=PersonKind.SPECIAL, contact_flag=1, sns_flag=0),
)

_GROUPS = (
    Group(
        id="family",
        nickname="相亲相爱一家人",
        members=[OWNER, "wife", "mom", "aunt"],
        display_names={"mom": "老妈", "aunt": "三姨🌼"},
    ),
    Group(
        id="work",
        nickname="项目组",
        members=["lilei", OWNER, "hanmeimei", "uncle"],
        saved=False,
        founder="lilei",
    ),
)


def fresh_world() -> World:
    """The owner (`me`), six friends, two strangers, five accounts, two groups (one of them not saved)."""
    owner = Person(
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


def _copy(person: Person) -> Person:
    return Person(**{name: getattr(person, name) for name in Person.__slots__})


def _copy_group(group: Group) -> Group:
    values = {name: getattr(group, name) for name in Group.__slots__}
    return Group(**{**values, "members": [*group.members], "display_names": {**group.display_names}})
