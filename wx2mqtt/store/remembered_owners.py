"""To which WeChat accounts the store of an account belongs: the column `owner`.

    {"ilink": "o9cq…", "wecom": "aibK…", "named": {"wecom": {"is_confirmed": true, "person": "user:li"}}}

Each backend has one account. A login of another WeChat account is refused until the operator says that it is
the new owner. A login of WeCom is a bot and names no person: there the operator says who the owner is, and
that the bot is the right one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, field, replace
from typing import Any

from wx2mqtt.bounded_json import load_json
from wx2mqtt.limits import STORED_JSON
from wx2mqtt.values import frozen

# The key of what the operator has said; no backend is called so.
_NAMED = "named"


@frozen
class NamedOwner:
    """What the operator has said of a bot whose logins name no owner (WeCom)."""

    #: It is the right bot: whom the configuration or the operator names is trusted.
    is_confirmed: bool = False
    #: The handle of the person who is the owner; empty while the operator has named nobody.
    person: str = ""


NOTHING_SAID = NamedOwner()


@frozen
class RememberedOwners:
    """The WeChat accounts to which the store of an account belongs."""

    #: By backend: the id of its account.
    ids: Mapping[str, str] = field(default_factory=dict)
    #: By backend: what the operator has said, without the backends of which nothing was said.
    named: Mapping[str, NamedOwner] = field(default_factory=dict)

    def with_owner(self, backend: str, owner_id: str, named: NamedOwner) -> RememberedOwners:
        """Returns them with this account in place of another one of the backend.

        What the operator said of the other one is forgotten: `named` takes its place.
        """
        others = {name: said for name, said in self.named.items() if name != backend}
        if named != NOTHING_SAID:
            others[backend] = named
        return RememberedOwners(ids={**self.ids, backend: owner_id}, named=others)

    def unconfirmed(self) -> RememberedOwners:
        """Returns them without the word of the operator that a bot is the right one.

        A restore needs this: whoever forged the backup would have said so.
        """
        named = {backend: replace(said, is_confirmed=False) for backend, said in self.named.items()}
        return replace(self, named=named)

    def to_json(self) -> str:
        """Returns the text of the column."""
        stored: dict[str, Any] = dict(self.ids)
        if self.named:
            stored[_NAMED] = {backend: asdict(named) for backend, named in self.named.items()}
        return json.dumps(stored, ensure_ascii=False, separators=(",", ":"))


def read_owners(column: str) -> RememberedOwners:
    """Returns what the column has, without values that the bridge never writes: a backup may be forged.

    A column that is no JSON object counts as empty.
    """
    try:
        stored = load_json(column.encode("utf-8", "replace"), STORED_JSON)
        json.dumps(stored, ensure_ascii=False).encode()  # else it could not be stored again
    except ValueError:
        stored = None
    if not isinstance(stored, dict):
        return RememberedOwners()
    said = stored.get(_NAMED)
    named: dict[str, NamedOwner] = {}
    if isinstance(said, dict):
        named = {backend: _read_named(value) for backend, value in said.items()}
    ids = {backend: owner_id for backend, owner_id in stored.items() if isinstance(owner_id, str)}
    return RememberedOwners(ids=ids, named=named)


def _read_named(value: object) -> NamedOwner:
    """Returns what the operator has said; a value of another type counts as nothing said."""
    if not isinstance(value, dict):
        return NOTHING_SAID
    person = value.get("person")
    return NamedOwner(
        is_confirmed=value.get("is_confirmed") is True, person=person if isinstance(person, str) else ""
    )
