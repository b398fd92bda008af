"""Puts the question of who strangers are to the ladder, with everybody else around them. Changes nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from wx2mqtt.bridge.people.evidence import Facts, MatchedBy, Traits
from wx2mqtt.bridge.people.ladder import Question, match
from wx2mqtt.bridge.people.pinning import Pinning
from wx2mqtt.bridge.people.roster import Roster
from wx2mqtt.model import Handle, PersonId
from wx2mqtt.store.people import Person


@dataclass(frozen=True, slots=True)
class Recognized:
    """By the place of a stranger: who it is and why, or else who it may be."""

    matches: Mapping[int, tuple[PersonId, MatchedBy]] = field(default_factory=dict)
    candidates: Mapping[int, tuple[PersonId, ...]] = field(default_factory=dict)


def recognize(
    strangers: Sequence[Facts],
    roster: Roster,
    pinning: Pinning,
    owner: Handle | None,
    *,
    waiting: Iterable[Facts] = (),
    whole: bool,
) -> Recognized:
    """Find strangers among the persons that nobody in this login is yet.

    `waiting` are further strangers that cannot be told yet; `whole` says that no contact is missing.
    """
    handles = {one.handle for one in strangers}
    persons = [one for one in roster.persons.values() if one.handle is None or one.handle not in handles]
    open_persons = [place for place, one in enumerate(persons) if one.handle is None and not one.permanent_id]
    if not open_persons:
        return Recognized()
    present = (one for one in persons if one.handle is not None)
    contacts: list[Traits] = [*strangers, *(one for one in waiting if one.handle not in handles), *present]
    answer = match(
        Question(
            contacts=contacts,
            persons=persons,
            open_contacts=[place for place, one in enumerate(strangers) if not one.permanent_id],
            open_persons=open_persons,
            claims=_claims(strangers, contacts, persons, roster, pinning, owner),
            gone={place for place, one in enumerate(persons) if one.removed},
            whole=whole,
        )
    )
    return Recognized(
        {contact: (persons[person].id, why) for contact, (person, why) in answer.matches.items()},
        {contact: tuple(persons[one].id for one in near) for contact, near in answer.candidates.items()},
    )


def _claims(
    strangers: Sequence[Facts],
    contacts: Sequence[Traits],
    persons: Sequence[Person],
    roster: Roster,
    pinning: Pinning,
    owner: Handle | None,
) -> dict[int, int]:
    """What the owner's word says: the only contact that a pin fits is whoever has the pin's name."""
    if not any(pinning.concerns(one, owner) for one in strangers):
        return {}
    places = {id(one): place for place, one in enumerate(contacts)}
    holders = {one.id: place for place, one in enumerate(persons) if one.pin}
    claims: dict[int, int] = {}
    for key, fitting in pinning.fitting(contacts, owner).items():
        holder = holders.get(roster.levels.get(key, PersonId(0)))
        if (
            len(fitting) == 1
            and holder is not None
            and persons[holder].pin == key
            and pinning.pins[key].strong
        ):
            claims[places[id(fitting[0])]] = holder
    return claims
