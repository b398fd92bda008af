"""The error codes of WeCom, by the reaction that each requires (wecom 6)."""

from __future__ import annotations

from enum import StrEnum, auto


class Reaction(StrEnum):
    """What to do after an answer."""

    #: WeCom has done what was asked.
    DONE = auto()
    #: Nothing was delivered: connect and subscribe anew, then send again.
    SUBSCRIBE_AGAIN = auto()
    #: Nothing was delivered: the request that it answers is too old, so it must be sent unasked.
    SEND_UNASKED = auto()
    #: The bot may not write to this chat: the person has not written to it, or it is not in the group.
    NO_CHAT = auto()
    #: Nothing was delivered: slow down.
    SLOW_DOWN = auto()
    #: The credentials are wrong.
    REFUSED = auto()
    #: Nothing was delivered, and a repetition would not be either.
    REJECTED = auto()


REACTIONS: dict[int, Reaction] = {
    0: Reaction.DONE,
    846605: Reaction.SEND_UNASKED,  # another connection's id, or one that takes another command
    846608: Reaction.SEND_UNASKED,  # the answer took too long
    846609: Reaction.SUBSCRIBE_AGAIN,  # not subscribed, although the socket is open (wecom 2.8)
    93006: Reaction.NO_CHAT,  # no such chat; also another case of its letters
    93001: Reaction.NO_CHAT,  # the group lets the bot write nothing
    93008: Reaction.NO_CHAT,  # the bot is not in the group
    45009: Reaction.SLOW_DOWN,
    93019: Reaction.REFUSED,  # no such bot
    40001: Reaction.REFUSED,  # wrong secret
}


def reaction_to(errcode: int) -> Reaction:
    """Returns what to do after an answer with this code; one that is not known rejects what was asked."""
    return REACTIONS.get(errcode, Reaction.REJECTED)
