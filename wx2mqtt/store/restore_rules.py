"""What a restore believes of a backup: what was said and who has which topic, but neither trust nor topics.

    {"text": "open the door", "trusted": true}   ->  "trusted": false, until the next login decides again
    a row that waits for another program's topic ->  dropped

A backup may be forged, its rows would be published with the rights of the bridge, and automations act on
`trusted`. Blocking, on the copy of the database, before it becomes a store.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field

from wx2mqtt.bounded_json import load_json
from wx2mqtt.errors import BadBackup
from wx2mqtt.limits import MAX_TTL_SECONDS, STORED_JSON
from wx2mqtt.store.column_values import encode_payload
from wx2mqtt.store.remembered_owners import read_owners
from wx2mqtt.values import frozen

DROP_REASON = "restored, and not for a topic of this bridge"

# Versions of the store that were the first with a column or table.
_FIRST_VERSION_WITH_ANNOUNCED = 3
_FIRST_VERSION_WITH_OWNER = 6
_FIRST_VERSION_WITH_QUESTIONS = 11
_FIRST_VERSION_WITH_ASKERS = 12

# What no name of a topic may have.
_NO_TOPIC_LEVEL = re.compile(r"[/+#\0]")


@frozen
class RestoreRules:
    """What the configuration says about topics.

    `base_topics` has the configured accounts; None where the configuration leaves the base out.
    """

    default_base: str = "wx"
    base_topics: Mapping[str, str | None] = field(default_factory=dict)
    #: Whether a row of this category may be published on this topic by an account with this base.
    may_publish: Callable[[str, str, str], bool] = lambda base, _category, topic: topic.startswith(f"{base}/")
    #: Whether this account announces itself to Home Assistant on this topic.
    is_discovery_topic: Callable[[str, str], bool] = lambda _account, _topic: False


NO_CONFIGURATION = RestoreRules()


def take_trust_away(copy: sqlite3.Connection, rules: RestoreRules) -> int:
    """Applies `rules` to a copy within a transaction of the caller; returns how many rows it drops.

    base topic    one that the configuration names, or the default of the account
    publications  what waits is published below that base, or is a result on a response topic that is allowed
    trusted       false in every message and for every person; the next login decides again who is trusted
    questions     only trusted people may answer those that are open
    owner         a bot that a scan made must be confirmed again
    announced     topics of this account's discovery, which alone are cleared

    Raises `BadBackup` for a base topic that only the owner can know, and for names that are no topic level.
    """
    names = copy.execute("SELECT level FROM level UNION SELECT level FROM person")
    if any(not isinstance(name, str) or _NO_TOPIC_LEVEL.search(name) for (name,) in names):
        raise BadBackup("backup_damaged")
    bases = _checked_bases(copy, rules)
    copy.execute("UPDATE person SET trusted = 0")
    copy.create_function("untrusted", 1, _untrusted, deterministic=True)
    copy.execute(
        "UPDATE publication SET payload = untrusted(payload)"
        " WHERE sort IN ('message', 'event') AND untrusted(payload) IS NOT NULL"
    )
    (version,) = copy.execute("PRAGMA user_version").fetchone()
    if version >= _FIRST_VERSION_WITH_OWNER:
        copy.create_function("unconfirmed", 1, lambda owner: read_owners(owner).unconfirmed().to_json())
        copy.execute("UPDATE account SET owner = unconfirmed(owner)")
    if version >= _FIRST_VERSION_WITH_ANNOUNCED:
        _limit_announced(copy, rules)
    if version >= _FIRST_VERSION_WITH_QUESTIONS:
        _limit_questions(copy)
    if version >= _FIRST_VERSION_WITH_ASKERS:
        _remove_questions_without_asker(copy)
    return _drop_foreign(copy, bases, rules)


def _checked_bases(copy: sqlite3.Connection, rules: RestoreRules) -> dict[str, set[str]]:
    """Returns the base topic of each account, or those it may get; forgets one that is not configured.

    The bridge clears retained topics below it when such an account is purged.
    """
    bases: dict[str, set[str]] = {}
    for account, base in copy.execute("SELECT name, base_topic FROM account").fetchall():
        known = {rules.default_base, f"{rules.default_base}/{account}", rules.base_topics.get(account)}
        if base and base not in known and account not in rules.base_topics:
            copy.execute("UPDATE account SET base_topic = NULL WHERE name = ?", (account,))
        elif base and base not in known and rules.base_topics[account] is None:
            raise BadBackup("restore_base", account=account, base=base)
        # Where the configuration has another one now, the bridge moves to it what waits.
        bases[account] = {base} if base else {name for name in known if name}
    return bases


def _untrusted(payload: bytes) -> bytes | None:
    """Returns a payload whose `trusted` is false; None if there is nothing to change."""
    if _is_plainly_untrusted(payload):
        return None
    body = load_json(payload, STORED_JSON)
    if not isinstance(body, dict) or "trusted" not in body:
        return None
    # Written anew also where it is false: the key may stand twice, and readers differ in which one counts.
    untrusted = encode_payload({**body, "trusted": False})
    return None if untrusted == payload else untrusted


def _is_plainly_untrusted(payload: bytes) -> bool:
    """Returns whether `trusted` is false or missing, without parsing; nearly all payloads are so."""
    if rb"\u" in payload:  # an escape may hide the key
        return False
    mentions = payload.count(b"trusted")
    return mentions <= 1 and mentions == payload.count(b'"trusted":false')


def _limit_announced(copy: sqlite3.Connection, rules: RestoreRules) -> None:
    for account, announced in copy.execute("SELECT name, announced FROM account").fetchall():
        if announced:
            record = load_json(announced.encode(), STORED_JSON)
            topics = [topic for topic in record["topics"] if rules.is_discovery_topic(account, topic)]
            text = json.dumps({**record, "topics": topics}, ensure_ascii=False)
            copy.execute("UPDATE account SET announced = ? WHERE name = ?", (text, account))


def _limit_questions(copy: sqlite3.Connection) -> None:
    """Lets only trusted people answer, and removes what is no question: each message is compared with it."""
    copy.execute(
        "DELETE FROM question WHERE"
        " typeof(id) <> 'integer' OR typeof(command) <> 'integer' OR typeof(person) <> 'integer'"
        " OR typeof(asked) <> 'integer' OR typeof(until) NOT IN ('integer', 'null')"
        " OR typeof(closed) NOT IN ('integer', 'null')"
        " OR typeof(lasts) <> 'integer' OR lasts NOT BETWEEN 0 AND ?"
        " OR typeof(command_id) <> 'text' OR typeof(user) <> 'text' OR typeof(text) <> 'text'"
        " OR typeof(buttons) <> 'text' OR typeof(answer) <> 'text'",
        (MAX_TTL_SECONDS * 1000,),
    )
    copy.execute("UPDATE question SET anyone = 0")


def _remove_questions_without_asker(copy: sqlite3.Connection) -> None:
    copy.execute(
        "DELETE FROM question WHERE typeof(asker) <> 'text' OR typeof(asker_command) <> 'integer'"
        " OR typeof(asker_command_id) <> 'text' OR typeof(asker_user) <> 'text'"
    )


def _drop_foreign(copy: sqlite3.Connection, bases: Mapping[str, Iterable[str]], rules: RestoreRules) -> int:
    """Drops what waits for other topics, and bare texts, which are there for trusted senders only."""

    def may_publish(account: str, category: str, topic: str) -> bool:
        return category != "plain" and any(
            rules.may_publish(base, category, topic) for base in bases.get(account, ())
        )

    copy.create_function("may_publish", 3, may_publish, deterministic=True)
    statement = (
        "UPDATE publication SET state = 3, why = ?"
        " WHERE state IN (0, 2, 4) AND NOT may_publish(account, sort, topic)"
    )
    return copy.execute(statement, (DROP_REASON,)).rowcount
