"""Which contact of a login is which known person: rungs from strong to weak evidence. Pure.

"Only one" always counts everybody on both sides, also those that another rung has matched; where two fit,
none is chosen. A wrong match hands somebody's topic to another, a missed one asks the owner: in doubt, miss.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from wx2mqtt.bridge.people.evidence import MatchedBy, Traits, member_set
from wx2mqtt.model import ChatKind

Key = Callable[[Traits], Hashable]
"""What must be equal, and of one contact and one person only; None where it is not known."""

Proof = Callable[[int, int], bool]
"""Whether a contact and a person that are the only ones with a key are the same."""

ALIKE = 0.8  # of the larger list: the same group under another name
HALF = 0.5  # of the smaller list: the same group under the same name …
QUARTER = 0.25  # … and of the larger, since two strangers may call themselves as any two members
FEWEST = 3  # members in common that can stand for a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
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
class Answer:
    """Contact to person and why; and for contacts without a match, the persons that they may yet be."""

    matches: Mapping[int, tuple[int, MatchedBy]] = field(default_factory=dict)
    candidates: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


def match(question: Question) -> Answer:
    """Climb down the ladder."""
    ladder = _Ladder(question)
    ladder.climb()
    return Answer(ladder.matches, ladder.candidates())


class _Ladder:
    def __init__(self, question: Question) -> None:
        self._question = question
        self._contacts, self._persons = question.contacts, question.persons
        self._left = dict.fromkeys(question.open_contacts)
        self._unbound = dict.fromkeys(question.open_persons)
        self.matches: dict[int, tuple[int, MatchedBy]] = {}

    def climb(self) -> None:
        self._take(MatchedBy.ALIAS, _alias)
        self._take_claims()
        self._take(MatchedBy.REMARK, _remark, self._remark_holds)
        self._take(MatchedBy.AVATAR_AND_NICKNAME, _avatar_and_nickname)
        if self._question.whole:
            self._take(MatchedBy.AVATAR_AND_PROFILE, _avatar, self._profile_agrees)
            self._take_by_nickname()
        self._take(MatchedBy.NAME_AND_MEMBERS, _group_name, self._members_agree)
        self._take(MatchedBy.NAME_AND_AVATAR, _group_name, self._picture_agrees)
        self._take_by_members()

    def candidates(self) -> dict[int, tuple[int, ...]]:
        """Whom each unmatched contact may be: anybody unmatched with whom it shares what people go by."""
        near: dict[Hashable, list[int]] = defaultdict(list)
        for person in self._unbound:
            for clue in self._clues(self._persons[person]):
                near[clue].append(person)
        found: dict[int, tuple[int, ...]] = {}
        for contact in self._left if self._unbound else ():
            clues = self._clues(self._contacts[contact])
            people = dict.fromkeys(person for clue in clues for person in near.get(clue, ()))
            people |= dict.fromkeys(self._alike(self._contacts[contact], self._persons, self._unbound))
            if people:
                found[contact] = tuple(people)
        return found

    def _clues(self, one: Traits) -> list[Hashable]:
        clues = [("alias", _alias(one)), ("remark", _remark(one)), ("name", (one.kind, one.nickname))]
        avatar = _avatar(one)
        if self._avatars[avatar] == 1:  # a picture that many have points at nobody
            clues.append(("avatar", avatar))
        return [clue for clue in clues if clue[1] is not None and clue[1] != (one.kind, "")]

    def _take(self, why: MatchedBy, key: Key, proof: Proof | None = None) -> None:
        for contact, person in self._pairs_by(key):
            if proof is None or proof(contact, person):
                self._match(contact, person, why)

    def _pairs_by(self, key: Key) -> list[tuple[int, int]]:
        """Contacts and persons still to be matched that are the only ones with their key on either side."""
        persons = {key(self._persons[place]): place for place in self._unbound}
        persons.pop(None, None)
        keys = {place: key(self._contacts[place]) for place in self._left} if persons else {}
        pairs = [(contact, persons[found]) for contact, found in keys.items() if found in persons]
        if not pairs:
            return []
        ours, theirs = Counter(map(key, self._contacts)), Counter(map(key, self._persons))
        return [pair for pair in pairs if ours[keys[pair[0]]] == theirs[keys[pair[0]]] == 1]

    def _match(self, contact: int, person: int, why: MatchedBy) -> None:
        self.matches[contact] = (person, why)
        del self._left[contact], self._unbound[person]

    def _take_claims(self) -> None:
        for contact, person in self._question.claims.items():
            if contact in self._left and person in self._unbound and not self._is_another(contact, person):
                self._match(contact, person, MatchedBy.PIN)

    def _remark_holds(self, contact: int, person: int) -> bool:
        """The remark is the owner's word for them, unless the owner has moved it to somebody else."""
        ours, theirs = self._contacts[contact], self._persons[person]
        if self._is_another(contact, person):
            return False
        agree = ours.nickname == theirs.nickname or ours.avatar == theirs.avatar != ""
        return agree or not _aliases_differ(ours, theirs)

    def _profile_agrees(self, contact: int, person: int) -> bool:
        ours, theirs = self._contacts[contact], self._persons[person]
        return ours.profile == theirs.profile and not _aliases_differ(ours, theirs)

    def _take_by_nickname(self) -> None:
        pairs = self._pairs_by(_nickname)
        rivals = self._without_namesake(pairs) if pairs else {}
        for contact, person in pairs:
            if self._facts_agree(contact, person, rivals.get(self._persons[person].kind, set())):
                self._match(contact, person, MatchedBy.NICKNAME_AND_PROFILE)

    def _without_namesake(self, pairs: list[tuple[int, int]]) -> dict[ChatKind, set[Hashable]]:
        """By kind, what those say of themselves who are left on one side only.

        Such a contact may be the one that really bore a name, such a person the one that has taken it now.
        """
        contacts, persons = {contact for contact, _ in pairs}, {person for _, person in pairs}
        others = [self._contacts[place] for place in self._left if place not in contacts]
        missing = self._unbound.keys() - persons - set(self._question.gone)
        rivals: dict[ChatKind, set[Hashable]] = defaultdict(set)
        for one in (*others, *(self._persons[place] for place in missing)):
            rivals[one.kind].add(_profile(one))
        return rivals

    def _facts_agree(self, contact: int, person: int, rivals: set[Hashable]) -> bool:
        """Who copies a nickname can copy sex and city too; only the attributes are not for choosing."""
        ours, theirs = self._contacts[contact], self._persons[person]
        if theirs.remark or person in self._question.gone or _aliases_differ(ours, theirs):
            return False
        if ours.profile != theirs.profile or not _tells_enough(ours.profile):
            return False
        if self._picture_is_anothers(ours, theirs):
            return False
        chosen = "attributes" not in ours.profile
        if ours.avatar and theirs.avatar:
            return not chosen and not rivals and self._nobody_else_says(ours)
        return not rivals if chosen else _profile(ours) not in rivals

    def _nobody_else_says(self, ours: Traits) -> bool:
        """Where the pictures contradict, this contact and one person alone may say this of themselves."""
        contacts, persons = self._said
        return contacts[_profile(ours)] == persons[_profile(ours)] == 1

    def _picture_is_anothers(self, contact: Traits, person: Traits) -> bool:
        return contact.avatar != person.avatar and (
            self._avatars[_avatar(contact)] == 1 or self._contact_avatars[_avatar(person)] == 1
        )

    def _is_another(self, contact: int, person: int) -> bool:
        """Whether picture and nickname say that this contact is some other known person."""
        pair = _avatar_and_nickname(self._contacts[contact])
        other = self._pairs.get(pair)
        return pair is not None and other is not None and other != person

    def _members_agree(self, contact: int, person: int) -> bool:
        ours = member_set(self._contacts[contact].members)
        theirs = member_set(self._persons[person].members)
        if not ours or not theirs:
            return False
        both = len(ours & theirs)
        return both >= HALF * min(len(ours), len(theirs)) and both >= QUARTER * max(len(ours), len(theirs))

    def _picture_agrees(self, contact: int, person: int) -> bool:
        ours, theirs = self._contacts[contact], self._persons[person]
        return not (ours.members and theirs.members) and ours.avatar == theirs.avatar != ""

    def _take_by_members(self) -> None:
        for contact in list(self._left):
            alike = self._alike(self._contacts[contact], self._persons, range(len(self._persons)))
            if len(alike) != 1 or alike[0] not in self._unbound:
                continue
            back = self._alike(self._persons[alike[0]], self._contacts, range(len(self._contacts)))
            if back == [contact]:
                self._match(contact, alike[0], MatchedBy.MEMBERS)

    def _alike(self, group: Traits, others: Sequence[Traits], places: Iterable[int]) -> list[int]:
        """Which of the groups have nearly the same members."""
        size = len(group.members)
        if group.kind is not ChatKind.GROUP or size < FEWEST * 4 or not self._unbound:
            return []
        members = member_set(group.members)
        return [
            place
            for place in places
            if (theirs := others[place].members)
            and ALIKE * max(size, len(theirs)) <= min(size, len(theirs))
            and _enough_in_common(members, theirs)
        ]

    @cached_property
    def _avatars(self) -> Counter[Hashable]:
        return _known(map(_avatar, self._persons))

    @cached_property
    def _contact_avatars(self) -> Counter[Hashable]:
        return _known(map(_avatar, self._contacts))

    @cached_property
    def _said(self) -> tuple[Counter[Hashable], Counter[Hashable]]:
        return Counter(map(_profile, self._contacts)), Counter(map(_profile, self._persons))

    @cached_property
    def _pairs(self) -> dict[Hashable, int]:
        """The persons that are the only ones with their picture and nickname."""
        keys = list(map(_avatar_and_nickname, self._persons))
        counts = Counter(keys)
        return {key: place for place, key in enumerate(keys) if counts[key] == 1}


def _enough_in_common(members: frozenset[int], other: bytes) -> bool:
    theirs = memoryview(other).cast("I")
    both = len(members.intersection(theirs))
    return both >= FEWEST and both >= ALIKE * max(len(members), len(theirs))


def _alias(one: Traits) -> Hashable:
    return (one.kind, one.alias) if one.alias else None


def _remark(one: Traits) -> Hashable:
    return (one.kind, one.remark) if one.remark else None


def _avatar(one: Traits) -> Hashable:
    return (one.kind, one.avatar) if one.avatar and one.kind is not ChatKind.GROUP else None


def _avatar_and_nickname(one: Traits) -> Hashable:
    return (one.kind, one.avatar, one.nickname) if _avatar(one) and one.nickname else None


def _nickname(one: Traits) -> Hashable:
    return (one.kind, one.nickname) if one.nickname and one.kind is not ChatKind.GROUP else None


def _group_name(one: Traits) -> Hashable:
    return one.nickname if one.nickname and one.kind is ChatKind.GROUP else None


def _profile(one: Traits) -> Hashable:
    return (one.kind, frozenset(one.profile.items()))


def _known(keys: Iterable[Hashable]) -> Counter[Hashable]:
    return Counter(key for key in keys if key is not None)


def _aliases_differ(one: Traits, other: Traits) -> bool:
    return bool(one.alias and other.alias and one.alias != other.alias)


def _tells_enough(profile: Mapping[str, str]) -> bool:
    """Two facts, and not only the sex: that every second stranger shares."""
    return len(profile) >= 2 and bool(profile.keys() - {"sex"})
