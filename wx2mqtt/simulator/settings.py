"""The settings of the simulated web WeChat (`POST /sim/settings`), and a base for adjustable settings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints


class BadSetting(ValueError):
    """The setting does not exist, or the value is not allowed."""


class AdjustableSettings:
    """Base of a settings dataclass whose fields can change while the servers run."""

    __slots__ = ()

    def change(self, values: dict[str, object]) -> None:
        """Sets some fields; changes nothing if one value is wrong. Raises `BadSetting`."""
        kinds = get_type_hints(type(self))
        checked = {key: _checked(kinds, key, value) for key, value in values.items()}
        for key, value in checked.items():
            setattr(self, key, value)

    def values(self) -> dict[str, object]:
        itself: Any = self
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(itself)}


def _checked(kinds: dict[str, Any], key: str, value: object) -> object:
    kind = kinds.get(key)
    if kind is None:
        raise BadSetting(f"no setting is named {key!r}; there are: {', '.join(kinds)}")
    if kind is float and type(value) is int:
        value = float(value)
    choices = get_args(kind)
    if value not in choices if choices else type(value) is not kind:
        expected = " or ".join(map(repr, choices)) if choices else kind.__name__
        raise BadSetting(f"{key} must be {expected}, not {value!r}")
    return value


PushLogin = Literal["ok", "args", "antispam", "invalid"]
Cancel = Literal["202", "408"]
ClientLanguage = Literal["zh_CN", "en_US"]
GoneAnswer = Literal["", "json", "html", "empty"]
"""Answers of the servers for a file that they do not have any more (webwx 3.7.3)."""


@dataclass(slots=True, kw_only=True)
class SimulatorSettings(AdjustableSettings):
    """Settings of the simulated web WeChat. Times are in seconds."""

    # login
    hold_login: float = 25.0
    qr_lifetime: float = 300.0
    autoscan: bool = False  # a person who scans and confirms at once
    cancel_code: Cancel = "202"  # answer of a poll after a cancel; after 408 the code stays valid
    answer_301: bool = False  # newloginpage answers 301 even with version=v2
    cookies_only: bool = False  # the XML lacks wxsid and wxuin, as in some desktop logins
    refuse_login: str = ""  # a text: ret 1203 with it as the message
    html_login: bool = False  # newloginpage answers an HTML page
    push_login: PushLogin = "ok"
    base_host: str = "wx2.qq.com"  # the account's cluster, for clients that use WeChat's real names
    # session
    new_skey: bool = True  # webwxinit issues a new skey
    sync_skey: bool = False  # webwxsync issues one, too
    rotate_tickets: bool = False  # webwxsync changes webwx_data_ticket each time
    ticket_life: float = 43200.0  # seconds until a webwx_data_ticket gives 1102
    # people
    page_size: int = 1000  # contacts in one answer of webwxgetcontact
    empty_contacts: int = 0  # number of first answers of webwxgetcontact without contacts
    notify_lists: int = 3  # messages of type 51, code 4, after webwxinit
    # receiving
    hold_sync: float = 25.0
    sync_batch: int = 50  # entries in one answer of webwxsync
    continue_flag: bool = False  # ContinueFlag is 1 while there are more entries
    check_key: bool = True  # webwxsync answers with a SyncCheckKey
    poll_limit: int = 10  # empty answers of synccheck a second; 0: no limit
    # sending
    echo: bool = False  # webwxsync returns what a web client sends
    drop_repeats: bool = True  # a known ClientMsgId is answered and not delivered again
    rate_limit: int = 0  # messages a minute, then Ret 1205; 0: no limit
    refuse_self: bool = True  # Ret 1204 for messages to oneself
    text_limit: int = 16384  # bytes, then Ret 1; 0: no limit
    # actions
    recall_within: float = 120.0
    action_limit: int = 0  # changes of remarks, friends and groups a minute, then Ret 1205; 0: no limit
    request_life: float = 259_200.0  # seconds until a friend request expires
    allow_groups: bool = True  # creating groups, adding and removing members (off since 2018: Ret 1)
    # uploading, in bytes
    media_limit: int = 20 * 1024 * 1024  # exclusive limit of pictures and videos
    file_limit: int = 100 * 1024 * 1024  # inclusive limit of other files
    check_above: int = 25 * 1024 * 1024  # larger ones need webwxcheckupload first, else Ret 402
    name_limit: int = 255  # bytes of a file's name
    instant_upload: bool = True  # webwxcheckupload recognises a file that was uploaded before
    # downloading
    empty_downloads: int = 0  # number of first downloads of each message with 0 bytes
    gone_media: GoneAnswer = ""  # answer for every file, as if it had expired
    mix_downloads: bool = False  # the later of two simultaneous downloads gets the other's bytes
    # general
    language: ClientLanguage = "zh_CN"
    strict: bool = False  # mistakes that WeChat tolerates are violations, too
