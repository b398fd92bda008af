"""Which contact of a login is which known person: rungs from strong to weak evidence. Pure.

"Only one" always counts everybody on both sides, also those that another rung has matched; where two fit,
none is chosen. A wrong match hands somebody's topic to another, a missed one asks the owner: in doubt, miss.

Puts the question of who strangers are to the ladder, with everybody else around them. Changes nobody.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from wx2mqtt.bridge.people.evidence import ContactFacts, MatchedBy, Traits, member_set
from wx2mqtt.bridge.people.pins import PinResolver
from wx2mqtt.bridge.people.table import PeopleTable
from wx2mqtt.model import ChatKind, Handle, PersonId
from wx2mqtt.store.records import Person

TraitKey = Callable[[Traits], Hashable]
"""What must be equal, and of one contact and one person only; None where it is not known."""


PairPredicate = Callable[[int, int], bool]
"""Whether a contact and a person that are the only ones with a key are the same."""


RENAMED_GROUP_OVERLAP = 0.8  # of the larger list: the same group under another name


SAME_NAME_SMALLER_OVERLAP = 0.5  # of the smaller list: the same group under the same name …


SAME_NAME_LARGER_OVERLAP = (
    0.25  # … and of the larger, since two strangers may call themselves as any two members
)


MIN_COMMON_MEMBERS = 3  # members in common that can stand for a name


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchQuery:
    """Everybody on both sides, and the places of those who are still to be matched.

    `claims` are the owner's pins: contact and the person that has the pin's name. `whole` says that
    `contacts` are all there are, so that being the only one means something. `gone` are persons that were
    seen to leave.
    """

    contacts: Sequence[Traits]
    persons: Sequence[Traits]
    open_contacts: Iterable[int]
    open_persons: Iterable[int]
    claims: Mapping[int, int] = field(default_factory=dict)
    gone: Collection[int] = ()
    whole: bool = True


@dataclass(frozen=True, slots=True)
class MatchResult:
    """Contact to person and why; and for contacts without a match, the persons that they may yet be."""

    matches: Mapping[int, tuple[int, MatchedBy]] = field(default_factory=dict)
    candidates: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


def match(query: MatchQuery) -> MatchResult:
    """Climb down the ladder."""
    ladder = _Matcher(query)
    ladder.run()
    return MatchResult(ladder.matches, ladder.candidates())


class _Matcher:
    def __init__(self, query: MatchQuery) -> None:
        self._query = query
        self._contacts, self._persons = query.contacts, query.persons
        self._unmatched_contacts = dict.fromkeys(query.open_contacts)
        self._unmatched_persons = dict.fromkeys(query.open_persons)
        self.matches: dict[int, tuple[int, MatchedBy]] = {}

    def run(self) -> None:
        self._match_by_key(MatchedBy.ALIAS, _alias)
        self._match_by_pin()
        self._match_by_key(MatchedBy.REMARK, _remark, self._remark_agrees)
        self._match_by_key(MatchedBy.AVATAR_AND_NICKNAME, _avatar_and_nickname)
        if self._query.whole:
            self._match_by_key(MatchedBy.AVATAR_AND_PROFILE, _avatar, self._profile_agrees)
            self._match_by_nickname()
        self._match_by_key(MatchedBy.NAME_AND_MEMBERS, _group_name, self._members_agree)
        self._match_by_key(MatchedBy.NAME_AND_AVATAR, _group_name, self._avatar_agrees)
        self._match_by_members()

    def candidates(self) -> dict[int, tuple[int, ...]]:
        """Whom each unmatched contact may be: anybody unmatched with whom it shares what people go by."""
        near: dict[Hashable, list[int]] = defaultdict(list)
        for person in self._unmatched_persons:
            for clue in self._search_keys(self._persons[person]):
                near[clue].append(person)
        found: dict[int, tuple[int, ...]] = {}
        for contact in self._unmatched_contacts if self._unmatched_persons else ():
            clues = self._search_keys(self._contacts[contact])
            people = dict.fromkeys(person for clue in clues for person in near.get(clue, ()))
            people |= dict.fromkeys(
                self._similar_groups(self._contacts[contact], self._persons, self._unmatched_persons)
            )
            if people:
                found[contact] = tuple(people)
        return found

    def _search_keys(self, traits: Traits) -> list[Hashable]:
        clues = [
            ("alias", _alias(traits)),
            ("remark", _remark(traits)),
            ("name", (traits.kind, traits.nickname)),
        ]
        avatar = _avatar(traits)
        if self._person_avatars[avatar] == 1:  # a picture that many have points at nobody
            clues.append(("avatar", avatar))
        return [clue for clue in clues if clue[1] is not None and clue[1] != (traits.kind, "")]

    def _match_by_key(self, matched_by: MatchedBy, key: TraitKey, proof: PairPredicate | None = None) -> None:
        for contact, person in self._pairs_by(key):
            if proof is None or proof(contact, person):
                self._record_match(contact, person, matched_by)

    def _pairs_by(self, key: TraitKey) -> list[tuple[int, int]]:
        """Contacts and persons still to be matched that are the only ones with their key on either side."""
        persons = {key(self._persons[place]): place for place in self._unmatched_persons}
        persons.pop(None, None)
        keys = {place: key(self._contacts[place]) for place in self._unmatched_contacts} if persons else {}
        pairs = [(contact, persons[found]) for contact, found in keys.items() if found in persons]
        if not pairs:
            return []
        ours, theirs = Counter(map(key, self._contacts)), Counter(map(key, self._persons))
        return [pair for pair in pairs if ours[keys[pair[0]]] == theirs[keys[pair[0]]] == 1]

    def _record_match(self, contact: int, person: int, matched_by: MatchedBy) -> None:
        self.matches[contact] = (person, matched_by)
        del self._unmatched_contacts[contact], self._unmatched_persons[person]

    def _match_by_pin(self) -> None:
        for contact, person in self._query.claims.items():
            if (
                contact in self._unmatched_contacts
                and person in self._unmatched_persons
                and not self._is_another(contact, person)
            ):
                self._record_match(contact, person, MatchedBy.PIN)

    def _remark_agrees(self, contact: int, person: int) -> bool:
        """The remark is the owner's word for them, unless the owner has moved it to somebody else."""
        ours, theirs = self._contacts[contact], self._persons[person]
        if self._is_another(contact, person):
            return False
        agree = ours.nickname == theirs.nickname or ours.avatar == theirs.avatar != ""
        return agree or not _aliases_differ(ours, theirs)

    def _profile_agrees(self, contact: int, person: int) -> bool:
        ours, theirs = self._contacts[contact], self._persons[person]
        return ours.profile == theirs.profile and not _aliases_differ(ours, theirs)

    def _match_by_nickname(self) -> None:
        pairs = self._pairs_by(_nickname)
        rivals = self._rival_profiles(pairs) if pairs else {}
        for contact, person in pairs:
            if self._facts_agree(contact, person, rivals.get(self._persons[person].kind, set())):
                self._record_match(contact, person, MatchedBy.NICKNAME_AND_PROFILE)

    def _rival_profiles(self, pairs: list[tuple[int, int]]) -> dict[ChatKind, set[Hashable]]:
        """By kind, what those say of themselves who are left on one side only.

        Such a contact may be the one that really bore a name, such a person the one that has taken it now.
        """
        contacts, persons = {contact for contact, _ in pairs}, {person for _, person in pairs}
        others = [self._contacts[place] for place in self._unmatched_contacts if place not in contacts]
        missing = self._unmatched_persons.keys() - persons - set(self._query.gone)
        rivals: dict[ChatKind, set[Hashable]] = defaultdict(set)
        for one in (*others, *(self._persons[place] for place in missing)):
            rivals[one.kind].add(_profile(one))
        return rivals

    def _facts_agree(self, contact: int, person: int, rivals: set[Hashable]) -> bool:
        """Who copies a nickname can copy sex and city too; only the attributes are not for choosing."""
        ours, theirs = self._contacts[contact], self._persons[person]
        if theirs.remark or person in self._query.gone or _aliases_differ(ours, theirs):
            return False
        if ours.profile != theirs.profile or not _tells_enough(ours.profile):
            return False
        if self._avatar_belongs_to_another(ours, theirs):
            return False
        chosen = "attributes" not in ours.profile
        if ours.avatar and theirs.avatar:
            return not chosen and not rivals and self._is_profile_unique(ours)
        return not rivals if chosen else _profile(ours) not in rivals

    def _is_profile_unique(self, ours: Traits) -> bool:
        """Where the pictures contradict, this contact and one person alone may say this of themselves."""
        contacts, persons = self._profile_counts
        return contacts[_profile(ours)] == persons[_profile(ours)] == 1

    def _avatar_belongs_to_another(self, contact: Traits, person: Traits) -> bool:
        return contact.avatar != person.avatar and (
            self._person_avatars[_avatar(contact)] == 1 or self._contact_avatars[_avatar(person)] == 1
        )

    def _is_another(self, contact: int, person: int) -> bool:
        """Whether picture and nickname say that this contact is some other known person."""
        pair = _avatar_and_nickname(self._contacts[contact])
        other = self._person_by_avatar_and_nickname.get(pair)
        return pair is not None and other is not None and other != person

    def _members_agree(self, contact: int, person: int) -> bool:
        ours = member_set(self._contacts[contact].members)
        theirs = member_set(self._persons[person].members)
        if not ours or not theirs:
            return False
        both = len(ours & theirs)
        return both >= SAME_NAME_SMALLER_OVERLAP * min(
            len(ours), len(theirs)
        ) and both >= SAME_NAME_LARGER_OVERLAP * max(len(ours), len(theirs))

    def _avatar_agrees(self, contact: int, person: int) -> bool:
        ours, theirs = self._contacts[contact], self._persons[person]
        return not (ours.members and theirs.members) and ours.avatar == theirs.avatar != ""

    def _match_by_members(self) -> None:
        for contact in list(self._unmatched_contacts):
            alike = self._similar_groups(self._contacts[contact], self._persons, range(len(self._persons)))
            if len(alike) != 1 or alike[0] not in self._unmatched_persons:
                continue
            back = self._similar_groups(self._persons[alike[0]], self._contacts, range(len(self._contacts)))
            if back == [contact]:
                self._record_match(contact, alike[0], MatchedBy.MEMBERS)

    def _similar_groups(self, group: Traits, others: Sequence[Traits], indexes: Iterable[int]) -> list[int]:
        """Which of the groups have nearly the same members."""
        size = len(group.members)
        if group.kind is not ChatKind.GROUP or size < MIN_COMMON_MEMBERS * 4 or not self._unmatched_persons:
            return []
        members = member_set(group.members)
        return [
            place
            for place in indexes
            if (theirs := others[place].members)
            and RENAMED_GROUP_OVERLAP * max(size, len(theirs)) <= min(size, len(theirs))
            and _enough_in_common(members, theirs)
        ]

    @cached_property
    def _person_avatars(self) -> Counter[Hashable]:
        return _known(map(_avatar, self._persons))

    @cached_property
    def _contact_avatars(self) -> Counter[Hashable]:
        return _known(map(_avatar, self._contacts))

    @cached_property
    def _profile_counts(self) -> tuple[Counter[Hashable], Counter[Hashable]]:
        return Counter(map(_profile, self._contacts)), Counter(map(_profile, self._persons))

    @cached_property
    def _person_by_avatar_and_nickname(self) -> dict[Hashable, int]:
        """The persons that are the only ones with their picture and nickname."""
        keys = list(map(_avatar_and_nickname, self._persons))
        counts = Counter(keys)
        return {key: place for place, key in enumerate(keys) if counts[key] == 1}


def _enough_in_common(members: frozenset[int], other_members: bytes) -> bool:
    theirs = memoryview(other_members).cast("I")
    both = len(members.intersection(theirs))
    return both >= MIN_COMMON_MEMBERS and both >= RENAMED_GROUP_OVERLAP * max(len(members), len(theirs))


def _alias(traits: Traits) -> Hashable:
    return (traits.kind, traits.alias) if traits.alias else None


def _remark(traits: Traits) -> Hashable:
    return (traits.kind, traits.remark) if traits.remark else None


def _avatar(traits: Traits) -> Hashable:
    return (traits.kind, traits.avatar) if traits.avatar and traits.kind is not ChatKind.GROUP else None


def _avatar_and_nickname(traits: Traits) -> Hashable:
    return (traits.kind, traits.avatar, traits.nickname) if _avatar(traits) and traits.nickname else None


def _nickname(traits: Traits) -> Hashable:
    return (traits.kind, traits.nickname) if traits.nickname and traits.kind is not ChatKind.GROUP else None


def _group_name(traits: Traits) -> Hashable:
    return traits.nickname if traits.nickname and traits.kind is ChatKind.GROUP else None


def _profile(traits: Traits) -> Hashable:
    return (traits.kind, frozenset(traits.profile.items()))


def _known(keys: Iterable[Hashable]) -> Counter[Hashable]:
    return Counter(key for key in keys if key is not None)


def _aliases_differ(traits: Traits, other_traits: Traits) -> bool:
    return bool(traits.alias and other_traits.alias and traits.alias != other_traits.alias)


def _tells_enough(profile: Mapping[str, str]) -> bool:
    """Two facts, and not only the sex: that every second stranger shares."""
    return len(profile) >= 2 and bool(profile.keys() - {"sex"})


@dataclass(frozen=True, slots=True)
class MatchedContact:
    """By the place of a stranger: who it is and why, or else who it may be."""

    matches: Mapping[int, tuple[PersonId, MatchedBy]] = field(default_factory=dict)
    candidates: Mapping[int, tuple[PersonId, ...]] = field(default_factory=dict)


def match_contacts(
    strangers: Sequence[ContactFacts],
    table: PeopleTable,
    pin_resolver: PinResolver,
    owner: Handle | None,
    *,
    waiting: Iterable[ContactFacts] = (),
    whole: bool,
) -> MatchedContact:
    """Find strangers among the persons that nobody in this login is yet.

    `waiting` are further strangers that cannot be told yet; `whole` says that no contact is missing.
    """
    handles = {one.handle for one in strangers}
    persons = [one for one in table.persons.values() if one.handle is None or one.handle not in handles]
    open_persons = [place for place, one in enumerate(persons) if one.handle is None and not one.permanent_id]
    if not open_persons:
        return MatchedContact()
    present = (one for one in persons if one.handle is not None)
    contacts: list[Traits] = [*strangers, *(one for one in waiting if one.handle not in handles), *present]
    answer = match(
        MatchQuery(
            contacts=contacts,
            persons=persons,
            open_contacts=[place for place, one in enumerate(strangers) if not one.permanent_id],
            open_persons=open_persons,
            claims=_claims(strangers, contacts, persons, table, pin_resolver, owner),
            gone={place for place, one in enumerate(persons) if one.removed},
            whole=whole,
        )
    )
    return MatchedContact(
        {contact: (persons[person].id, why) for contact, (person, why) in answer.matches.items()},
        {contact: tuple(persons[one].id for one in near) for contact, near in answer.candidates.items()},
    )


def _claims(
    strangers: Sequence[ContactFacts],
    contacts: Sequence[Traits],
    persons: Sequence[Person],
    table: PeopleTable,
    pin_resolver: PinResolver,
    owner: Handle | None,
) -> dict[int, int]:
    """What the owner's word says: the only contact that a pin fits is whoever has the pin's name."""
    if not any(pin_resolver.may_match(one, owner) for one in strangers):
        return {}
    places = {id(one): place for place, one in enumerate(contacts)}
    holders = {one.id: place for place, one in enumerate(persons) if one.pin}
    claims: dict[int, int] = {}
    for key, fitting in pin_resolver.matches_by_pin(contacts, owner).items():
        holder = holders.get(table.levels.get(key, PersonId(0)))
        if (
            len(fitting) == 1
            and holder is not None
            and persons[holder].pin == key
            and pin_resolver.pins[key].is_strong
        ):
            claims[places[id(fitting[0])]] = holder
    return claims
