"""Says which known person an unknown contact is, by rules from strong to weak evidence.

    a contact has the alias `lily88` of person 7 and nobody else has it  ->  person 7, by `alias`
    two contacts have the nickname `Lily` of person 7                    ->  nobody; both are candidates

A rule compares a key (as alias, or picture and nickname), which must be unique among all contacts and among
all people, matched ones included. With two candidates a rule chooses none: a wrong match gives somebody's
topic to another person, a missed match only asks the owner. `binding.py` does what follows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from itertools import islice

from wx2mqtt.bridge.people.evidence import (
    BYTES_PER_MEMBER,
    MAX_CANDIDATES,
    ContactFacts,
    MatchedBy,
    Traits,
    member_set,
)
from wx2mqtt.bridge.people.pins import PinResolver
from wx2mqtt.bridge.people.table import PeopleTable
from wx2mqtt.model import ChatKind, Handle, PersonId
from wx2mqtt.store.person_records import Person
from wx2mqtt.values import frozen

# Returns the value that must be equal and unique on both sides; None if unknown.
TraitKey = Callable[[Traits], Hashable]

# Returns whether a contact and a person with the same unique key are the same; both are indexes.
PairPredicate = Callable[[int, int], bool]

# Two groups with different names are one group, renamed, if they share this part of the larger member list.
RENAMED_GROUP_OVERLAP = 0.8

# They also need at least this number of members in common.
MIN_COMMON_MEMBERS = 3

# Two groups with the same name are one group if they share this part of the smaller member list.
SAME_NAME_SMALLER_OVERLAP = 0.5

# They must also share this part of the larger list: strangers may copy the names of a few members.
SAME_NAME_LARGER_OVERLAP = 0.25

# Comparing a thousand groups by their members would block the event loop for seconds. The work is counted in
# units of which one takes 0.2 µs: one for each pair of groups, and where both have about the same size
# `_COMPARISON_UNITS` and one for each four members. When the budget of about 0.2 s is used up, the groups
# that are left count as groups without members.
_COMPARISON_UNITS = 10
_BUDGET_UNITS = 1_000_000


@frozen(kw_only=False)
class ContactMatches:
    """By the index of an unknown contact: the person and the rule, or else the candidates."""

    matches: Mapping[int, tuple[PersonId, MatchedBy]] = field(default_factory=dict)
    candidates: Mapping[int, tuple[PersonId, ...]] = field(default_factory=dict)


def match_contacts(
    unknown: Sequence[ContactFacts],
    table: PeopleTable,
    pin_resolver: PinResolver,
    owner: Handle | None,
    *,
    pending: Iterable[ContactFacts] = (),
    is_complete: bool,
) -> ContactMatches:
    """Matches unknown contacts to people without a contact; `pending` are further unmatched contacts."""
    has_evidence = any(
        contact.alias or contact.remark or contact.nickname or contact.avatar or contact.members
        for contact in unknown
    )
    if not has_evidence and not any(pin_resolver.may_match(contact, owner) for contact in unknown):
        return ContactMatches()  # the usual case of somebody who writes and is in no contact list
    handles = {contact.handle for contact in unknown}
    # Somebody who wrote before their contact came has its handle already: not a person to match it to.
    persons = [
        person for person in table.persons.values() if person.handle is None or person.handle not in handles
    ]
    open_persons = [
        index for index, person in enumerate(persons) if person.handle is None and not person.permanent_id
    ]
    if not open_persons:
        return ContactMatches()
    contacts: list[Traits] = [*unknown]
    contacts += [contact for contact in pending if contact.handle not in handles]
    contacts += [person for person in persons if person.handle is not None]
    result = match(
        MatchQuery(
            contacts=contacts,
            persons=persons,
            open_contacts=[index for index, contact in enumerate(unknown) if not contact.permanent_id],
            open_persons=open_persons,
            claims=_claims(unknown, contacts, persons, table, pin_resolver, owner),
            removed_persons={index for index, person in enumerate(persons) if person.removed},
            is_complete=is_complete,
        )
    )
    return ContactMatches(
        {contact: (persons[person].id, rule) for contact, (person, rule) in result.matches.items()},
        {
            contact: tuple(persons[index].id for index in indexes)
            for contact, indexes in result.candidates.items()
        },
    )


def _claims(
    unknown: Sequence[ContactFacts],
    contacts: Sequence[Traits],
    persons: Sequence[Person],
    table: PeopleTable,
    pin_resolver: PinResolver,
    owner: Handle | None,
) -> dict[int, int]:
    """Returns the claims of strong pins: the only contact that a pin matches is the person with its name."""
    if not any(pin_resolver.may_match(contact, owner) for contact in unknown):
        return {}
    contact_indexes = {id(contact): index for index, contact in enumerate(contacts)}
    holders = {person.id: index for index, person in enumerate(persons) if person.pin}
    claims: dict[int, int] = {}
    for pin_name, fitting in pin_resolver.matches_by_pin(contacts, owner).items():
        holder = holders.get(table.topic_names.get(pin_name, PersonId(0)))
        if holder is None or persons[holder].pin != pin_name:
            continue
        if len(fitting) == 1 and pin_resolver.pins[pin_name].is_strong:
            claims[contact_indexes[id(fitting[0])]] = holder
    return claims


@frozen
class MatchQuery:
    """All contacts and people. In all other fields they are named by their index in these two lists."""

    contacts: Sequence[Traits]
    persons: Sequence[Traits]
    #: The contacts and people that have no match yet.
    open_contacts: Iterable[int]
    open_persons: Iterable[int]
    #: The owner's pins: by contact, the person with the pin's name.
    claims: Mapping[int, int] = field(default_factory=dict)
    removed_persons: Collection[int] = ()
    #: No contact is missing, so that a unique nickname proves something.
    is_complete: bool = True


@frozen(kw_only=False)
class MatchResult:
    """The person and the rule for each matched contact; for the others, the candidates. All are indexes."""

    matches: Mapping[int, tuple[int, MatchedBy]] = field(default_factory=dict)
    candidates: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


def match(query: MatchQuery) -> MatchResult:
    matcher = _Matcher(query)
    matcher.run()
    return MatchResult(matcher.matches, matcher.candidates())


class _Matcher:
    """Applies the rules one after the other. Contacts and people are indexes, as in `MatchQuery`."""

    def __init__(self, query: MatchQuery) -> None:
        self._query = query
        self._contacts, self._persons = query.contacts, query.persons
        # Dictionaries without values: sets that keep their order.
        self._unmatched_contacts = dict.fromkeys(query.open_contacts)
        self._unmatched_persons = dict.fromkeys(query.open_persons)
        self._units_left = _BUDGET_UNITS
        self.matches: dict[int, tuple[int, MatchedBy]] = {}

    def run(self) -> None:
        """Applies the rules, the strongest first: what one has matched, no later one sees."""
        self._match_by_key(MatchedBy.ALIAS, _alias)
        self._match_claims()
        self._match_by_key(MatchedBy.REMARK, _remark, self._remark_agrees)
        self._match_by_key(MatchedBy.AVATAR_AND_NICKNAME, _avatar_and_nickname)
        if self._query.is_complete:
            self._match_by_key(MatchedBy.AVATAR_AND_PROFILE, _avatar, self._profile_agrees)
            self._match_by_nickname_and_profile()
        self._match_by_key(MatchedBy.NAME_AND_MEMBERS, _group_name, self._members_agree)
        self._match_by_key(MatchedBy.NAME_AND_AVATAR, _group_name, self._avatar_agrees)
        self._match_by_members()

    def candidates(self) -> dict[int, tuple[int, ...]]:
        """Returns the unmatched people who share a name or a unique picture with an unmatched contact."""
        if not self._unmatched_persons:
            return {}
        persons_by_key: dict[Hashable, list[int]] = defaultdict(list)
        for person in self._unmatched_persons:
            for key in self._search_keys(self._persons[person]):
                persons_by_key[key].append(person)
        groups = [index for index in self._person_groups if index in self._unmatched_persons]
        candidates: dict[int, tuple[int, ...]] = {}
        for contact in self._unmatched_contacts:
            people: dict[int, None] = {}
            for key in self._search_keys(self._contacts[contact]):
                people |= dict.fromkeys(persons_by_key.get(key, ())[:MAX_CANDIDATES])
            people |= dict.fromkeys(self._similar_groups(self._contacts[contact], self._persons, groups))
            if people:
                candidates[contact] = tuple(islice(people, MAX_CANDIDATES))
        return candidates

    def _search_keys(self, traits: Traits) -> list[Hashable]:
        keys = {
            "alias": _alias(traits),
            "remark": _remark(traits),
            "name": (traits.kind, traits.nickname) if traits.nickname else None,
        }
        avatar = _avatar(traits)
        if self._person_avatars[avatar] == 1:  # a picture that several have identifies nobody
            keys["avatar"] = avatar
        return [item for item in keys.items() if item[1] is not None]

    # Matching by a unique key

    def _match_by_key(self, matched_by: MatchedBy, key: TraitKey, proof: PairPredicate | None = None) -> None:
        for contact, person in self._pairs_by(key):
            if proof is None or proof(contact, person):
                self._record_match(contact, person, matched_by)

    def _pairs_by(self, key: TraitKey) -> list[tuple[int, int]]:
        """Returns the unmatched contacts and people whose key is unique on both sides."""
        persons = {key(self._persons[index]): index for index in self._unmatched_persons}
        persons.pop(None, None)
        if not persons:
            return []
        keys = {index: key(self._contacts[index]) for index in self._unmatched_contacts}
        pairs = [(contact, persons[value]) for contact, value in keys.items() if value in persons]
        if not pairs:
            return []  # the usual case, in which nothing needs to be counted
        contact_counts = Counter(map(key, self._contacts))
        person_counts = Counter(map(key, self._persons))
        return [
            (contact, person)
            for contact, person in pairs
            if contact_counts[keys[contact]] == 1 and person_counts[keys[contact]] == 1
        ]

    def _record_match(self, contact: int, person: int, matched_by: MatchedBy) -> None:
        self.matches[contact] = (person, matched_by)
        del self._unmatched_contacts[contact], self._unmatched_persons[person]

    def _match_claims(self) -> None:
        for contact, person in self._query.claims.items():
            is_open = contact in self._unmatched_contacts and person in self._unmatched_persons
            if is_open and not self._is_another(contact, person):
                self._record_match(contact, person, MatchedBy.PIN)

    def _is_another(self, contact: int, person: int) -> bool:
        """Returns whether picture and nickname identify this contact as another known person."""
        pair = _avatar_and_nickname(self._contacts[contact])
        return pair is not None and self._person_by_avatar_and_nickname.get(pair, person) != person

    def _remark_agrees(self, contact: int, person: int) -> bool:
        """Accepts a remark, which the owner set, unless the owner has moved it to somebody else."""
        ours, theirs = self._contacts[contact], self._persons[person]
        if self._is_another(contact, person):
            return False
        if ours.nickname == theirs.nickname or ours.avatar == theirs.avatar != "":
            return True
        return not _aliases_differ(ours, theirs)

    def _profile_agrees(self, contact: int, person: int) -> bool:
        ours, theirs = self._contacts[contact], self._persons[person]
        return ours.profile == theirs.profile and not _aliases_differ(ours, theirs)

    # Matching by nickname and profile: anybody can copy a nickname, so that more must agree

    def _match_by_nickname_and_profile(self) -> None:
        pairs = self._pairs_by(_nickname)
        rivals = self._rival_profiles(pairs) if pairs else {}
        for contact, person in pairs:
            if self._nickname_proves(contact, person, rivals.get(self._persons[person].kind, set())):
                self._record_match(contact, person, MatchedBy.NICKNAME_AND_PROFILE)

    def _rival_profiles(self, pairs: list[tuple[int, int]]) -> dict[ChatKind, set[Hashable]]:
        """Returns, by kind, the profiles of contacts and people that are in no pair.

        Such a contact may be the real bearer of a name; such a person may have taken the name over.
        """
        contacts = {contact for contact, _ in pairs}
        persons = {person for _, person in pairs}
        other_contacts = [index for index in self._unmatched_contacts if index not in contacts]
        other_persons = self._unmatched_persons.keys() - persons - set(self._query.removed_persons)
        rivals: dict[ChatKind, set[Hashable]] = defaultdict(set)
        for index in other_contacts:
            rivals[self._contacts[index].kind].add(_profile(self._contacts[index]))
        for index in other_persons:
            rivals[self._persons[index].kind].add(_profile(self._persons[index]))
        return rivals

    def _nickname_proves(self, contact: int, person: int, rivals: set[Hashable]) -> bool:
        """Returns whether two with the same unique nickname are the same; `rivals` are profiles of others."""
        ours, theirs = self._contacts[contact], self._persons[person]
        if theirs.remark or person in self._query.removed_persons or _aliases_differ(ours, theirs):
            return False
        if ours.profile != theirs.profile or len(ours.profile) < 2:
            return False  # a single fact proves nothing: every second person shares the sex
        has_bearer = self._person_avatars[_avatar(ours)] == 1 or self._contact_avatars[_avatar(theirs)] == 1
        if ours.avatar != theirs.avatar and has_bearer:
            return False  # one of the pictures belongs to another
        # Sex and city can be copied together with a nickname; the attributes that WeChat sets cannot.
        is_copyable = "attributes" not in ours.profile
        if ours.avatar and theirs.avatar:
            # The pictures differ, else AVATAR_AND_NICKNAME had matched. So the profile has to be unique.
            contact_counts, person_counts = self._profile_counts
            profile = _profile(ours)
            is_unique = contact_counts[profile] == 1 and person_counts[profile] == 1
            return is_unique and not is_copyable and not rivals
        if is_copyable:
            return not rivals
        return _profile(ours) not in rivals

    # Groups

    def _members_agree(self, contact: int, person: int) -> bool:
        ours = member_set(self._contacts[contact].members)
        theirs = member_set(self._persons[person].members)
        if not ours or not theirs:
            return False
        smaller, larger = min(len(ours), len(theirs)), max(len(ours), len(theirs))
        return len(ours & theirs) >= max(
            SAME_NAME_SMALLER_OVERLAP * smaller, SAME_NAME_LARGER_OVERLAP * larger
        )

    def _avatar_agrees(self, contact: int, person: int) -> bool:
        ours, theirs = self._contacts[contact], self._persons[person]
        return not (ours.members and theirs.members) and ours.avatar == theirs.avatar != ""

    def _match_by_members(self) -> None:
        """Matches a group to the only known group with nearly its members, if that has no other match."""
        for contact in list(self._unmatched_contacts):
            similar = self._similar_groups(self._contacts[contact], self._persons, self._person_groups)
            if len(similar) != 1 or similar[0] not in self._unmatched_persons:
                continue
            person = similar[0]
            similar_back = self._similar_groups(self._persons[person], self._contacts, self._contact_groups)
            if similar_back == [contact]:
                self._record_match(contact, person, MatchedBy.MEMBERS)

    def _similar_groups(self, group: Traits, others: Sequence[Traits], indexes: Sequence[int]) -> list[int]:
        """Returns which of the `indexes` in `others` are groups with nearly the same members.

        Returns none once the budget of units is used up.
        """
        size = len(group.members) // BYTES_PER_MEMBER
        if group.kind is not ChatKind.GROUP or size < MIN_COMMON_MEMBERS or not self._unmatched_persons:
            return []
        self._units_left -= len(indexes)
        if self._units_left <= 0:
            return []
        members = member_set(group.members)
        similar: list[int] = []
        for index in indexes:
            other_members = others[index].members
            other_size = len(other_members) // BYTES_PER_MEMBER
            needed = RENAMED_GROUP_OVERLAP * max(size, other_size)
            if needed > min(size, other_size):
                continue
            self._units_left -= _COMPARISON_UNITS + other_size // 4
            if self._units_left <= 0:
                return []
            common = len(members.intersection(memoryview(other_members).cast("I")))
            if common >= max(MIN_COMMON_MEMBERS, needed):
                similar.append(index)
        return similar

    @cached_property
    def _person_groups(self) -> list[int]:
        """The people that are groups with known members."""
        return [index for index, person in enumerate(self._persons) if person.members]

    @cached_property
    def _contact_groups(self) -> list[int]:
        return [index for index, contact in enumerate(self._contacts) if contact.members]

    # How often a key occurs, matched contacts and people included

    @cached_property
    def _person_avatars(self) -> Counter[Hashable]:
        return _count_known(map(_avatar, self._persons))

    @cached_property
    def _contact_avatars(self) -> Counter[Hashable]:
        return _count_known(map(_avatar, self._contacts))

    @cached_property
    def _profile_counts(self) -> tuple[Counter[Hashable], Counter[Hashable]]:
        """The counts among the contacts, and among the people."""
        return Counter(map(_profile, self._contacts)), Counter(map(_profile, self._persons))

    @cached_property
    def _person_by_avatar_and_nickname(self) -> dict[Hashable, int]:
        """The indexes of people by picture and nickname, where that pair is unique."""
        keys = list(map(_avatar_and_nickname, self._persons))
        counts = Counter(keys)
        return {key: index for index, key in enumerate(keys) if counts[key] == 1}


# The keys. None is an unknown value, which equals nothing; people of different kinds never match.


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


def _count_known(keys: Iterable[Hashable]) -> Counter[Hashable]:
    return Counter(key for key in keys if key is not None)


def _aliases_differ(traits: Traits, other_traits: Traits) -> bool:
    return bool(traits.alias and other_traits.alias and traits.alias != other_traits.alias)
