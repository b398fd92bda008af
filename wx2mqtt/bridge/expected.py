"""Whose account may log in (DESIGN 3, `expect`): a stranger who scans must not get these topics. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.model import Owner
from wx2mqtt.words import Language, say


class WrongAccount(Wx2MqttError):
    """Somebody else scanned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The only account that may log in; empty fields do not matter (DESIGN 3, `expect`)."""

    uin: str = ""
    nickname: str = ""
    ilink: str = ""

    def check(self, owner: Owner, language: Language) -> None:
        """Raise `WrongAccount` for anybody else."""
        key = self.refuses(owner)
        if key:
            raise WrongAccount(say(language, "wrong_account", found=owner.nickname or "?", key=key))

    def refuses(self, owner: Owner) -> str:
        """The key that names another account, or nothing. The number itself is not for everybody (P6)."""
        facts = (
            ("uin", self.uin, owner.uin),
            ("nickname", self.nickname, owner.nickname),
            ("ilink", self.ilink, owner.handle),
        )
        return next((key for key, wanted, found in facts if wanted and wanted != found), "")
