"""The evidence that two descriptions are of one person: the facts that matching and pins compare.

    the same remark, which only the account's owner sets  ->  strong evidence
    the same nickname, which anybody can copy             ->  weak evidence

Strangers cannot choose remarks, pins and picture numbers. The order of the rules in `matching.py` follows
from that.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from zlib import crc32

from wx2mqtt.model import FILEHELPER, ChatKind, Contact, Handle, Member
from wx2mqtt.names import composed
from wx2mqtt.store.person_records import Person, shared_profile
from wx2mqtt.values import frozen

# How many people of the same name an event lists at most. More are no help to the owner who decides, and with
# thousands of friends of one name each event would list all the others.
MAX_CANDIDATES = 50

# The size of one checksum in `ContactFacts.members`.
BYTES_PER_MEMBER = 4


class MatchedBy(StrEnum):
    """How a person was recognised; the directory publishes it."""

    ID = "id"  # by the permanent id
    PIN = "pin"
    ALIAS = "alias"
    REMARK = "remark"
    AVATAR_AND_NICKNAME = "avatar_and_nickname"
    AVATAR_AND_PROFILE = "avatar_and_profile"
    NICKNAME_AND_PROFILE = "nickname_and_profile"
    NAME_AND_MEMBERS = "name_and_members"
    NAME_AND_AVATAR = "name_and_avatar"
    MEMBERS = "members"
    OWNER = "owner_decided"
    NEW = "new"  # matches nobody who was known before
    UNSURE = "unsure"  # new, but perhaps one of the closed people
    MESSAGE = "wrote"  # known only from a message


@frozen
class ContactFacts:
    """A contact in normalised form: texts in NFC, unknown values empty."""

    #: Valid in one login only, unless it is the permanent id.
    handle: Handle
    kind: ChatKind
    #: The same in every login; web WeChat has one only for a few accounts, iLink and WeCom for everybody.
    permanent_id: str = ""
    #: The WeChat id that a person chose.
    alias: str = ""
    #: The name that the account's owner gave.
    remark: str = ""
    #: The name that the person, or the group, chose.
    nickname: str = ""
    #: The number of the picture.
    avatar: str = ""
    #: What else WeChat says, as sex, city and `attributes`.
    profile: Mapping[str, str] = field(default_factory=dict)
    #: The members of a group, as `checksums` returns them.
    members: bytes = b""
    #: Whether they are among the owner's contacts; None where WeChat does not say it.
    listed: bool | None = None

    def merged_with(self, later: ContactFacts) -> ContactFacts:
        """Returns both descriptions in one; of two different values the later one counts."""
        return ContactFacts(
            handle=self.handle,
            kind=later.kind,
            permanent_id=later.permanent_id or self.permanent_id,
            alias=later.alias or self.alias,
            remark=later.remark or self.remark,
            nickname=later.nickname or self.nickname,
            avatar=later.avatar or self.avatar,
            profile={**self.profile, **later.profile},
            members=later.members or self.members,
            listed=self.listed if later.listed is None else later.listed,
        )


# The properties that contacts and persons have in common; matching compares only these.
Traits = ContactFacts | Person


@frozen
class ContactPin:
    """Says which person a name in the configuration stands for; all given values must match."""

    remark: str = ""
    alias: str = ""
    nickname: str = ""
    group: str = ""
    ilink: str = ""
    #: The userid of a person or the chatid of a group; which of both it is, the person's handle says.
    wecom: str = ""
    owner: bool = False

    @property
    def is_strong(self) -> bool:
        """Whether the pin uses only what no stranger can choose. Such a pin makes a person trusted."""
        return bool(self.remark or self.alias or self.ilink or self.wecom or self.owner)

    def matches(self, traits: Traits, owner: Handle | None) -> bool:
        """Returns whether this pin stands for the person; `owner` is the account's own handle."""
        is_group = traits.kind is ChatKind.GROUP
        checks = (
            (self.remark, not is_group and traits.remark == normalize_text(self.remark)),
            (self.alias, not is_group and traits.alias == normalize_text(self.alias)),
            (self.nickname, not is_group and traits.nickname == normalize_text(self.nickname)),
            (self.group, is_group and normalize_text(self.group) in {traits.nickname, traits.remark}),
            (self.ilink, traits.permanent_id == self.ilink),
            (self.wecom, id_without_kind(traits.permanent_id) == self.wecom),
            (self.owner, owner is not None and owner in {traits.handle, traits.permanent_id}),
        )
        given = [fits for value, fits in checks if value]
        return bool(given) and all(given)


@frozen
class OwnerTrust:
    """Who is trusted where the operator names the owner (`Capabilities.owner_is_named`)."""

    #: The person who is the owner. While nobody is, the handle of the bot, which is no person's.
    owner: Handle
    #: False: nobody is trusted, whatever the pins say. Anybody may have made the bot.
    is_confirmed: bool


def id_without_kind(permanent_id: str) -> str:
    """Returns `zhangsan` for `user:zhangsan`, as a pin names it; empty for an id without a kind."""
    return permanent_id.partition(":")[2]


def contact_facts(contact: Contact, owner: Handle | None, uin: str) -> ContactFacts:
    """Returns a contact in normalised form. The account's own entry has its `uin` as permanent id."""
    permanent_id = contact.permanent_id
    if contact.handle == owner and not permanent_id and uin:
        permanent_id = f"uin:{uin}"
    profile = ((key, normalize_text(contact.profile[key])) for key in sorted(contact.profile))
    return ContactFacts(
        handle=contact.handle,
        kind=ChatKind.SELF if permanent_id == FILEHELPER else contact.kind,
        permanent_id=permanent_id,
        alias=normalize_text(contact.alias),
        remark=normalize_text(contact.remark),
        nickname=normalize_text(contact.nickname),
        avatar="" if contact.avatar == "0" else contact.avatar,  # all default pictures share 0 (webwx 4.2.2)
        profile=shared_profile((key, value) for key, value in profile if value not in {"", "0"}),
        members=checksums(contact.members or (), owner),
        listed=contact.listed,
    )


def normalize_text(text: str) -> str:
    """Returns `text` in NFC, trimmed; lone surrogates, which UTF-8 cannot encode, become `?`."""
    if not text.isascii():
        text = composed(text.encode(errors="replace").decode())
    return text.strip()


def checksums(members: tuple[Member, ...], owner: Handle | None) -> bytes:
    """Returns the sorted 4-byte crc32 of the nicknames; the owner, who is in every group, is left out."""
    names = {member.nickname for member in members if member.nickname and member.handle != owner}
    sums = array("I", sorted({crc32(name.encode(errors="surrogatepass")) for name in names}))
    if sys.byteorder == "little":
        sums.byteswap()  # the store may be moved to another machine
    return sums.tobytes()


def member_set(members: bytes) -> frozenset[int]:
    """Returns the checksums as numbers; comparable within this process only."""
    return frozenset(memoryview(members).cast("I"))
