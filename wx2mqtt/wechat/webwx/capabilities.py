"""What web WeChat can do, as data (webwx 2.12, 2.14, 6.1)."""

from __future__ import annotations

from wx2mqtt.model import (
    AcceptFriend,
    AddMembers,
    CreateGroup,
    Kind,
    MarkRead,
    Recall,
    RemoveMembers,
    RenameGroup,
    SetRemark,
)
from wx2mqtt.wechat.gateway import Capabilities, Sendable

MEGABYTE = 1 << 20
BELOW_20_MB = 20 * MEGABYTE - 1  # the official page refuses 20 MB and more

CAPABILITIES = Capabilities(
    backend="webwx",
    contacts=True,
    groups=True,
    start_chat=True,
    new_handles=True,
    text_limit=16384,  # the phone's limit, as far as is known (webwx 6.1)
    media={
        Kind.IMAGE: Sendable(largest=BELOW_20_MB, mimes=frozenset({"image/jpeg", "image/png", "image/bmp"})),
        Kind.VIDEO: Sendable(largest=BELOW_20_MB, mimes=frozenset({"video/mp4"})),
        Kind.FILE: Sendable(largest=100 * MEGABYTE),
        Kind.STICKER: Sendable(largest=5 * MEGABYTE, mimes=frozenset({"image/gif"})),
    },
    actions=frozenset(
        {Recall, MarkRead, SetRemark, AcceptFriend, CreateGroup, AddMembers, RemoveMembers, RenameGroup}
    ),
    recall_within=120.0,
)
