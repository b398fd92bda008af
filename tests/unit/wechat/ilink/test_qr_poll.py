"""The number that a person reads on the phone, on its way to the poll; `test_login_flow.py` has the polls."""

from __future__ import annotations

import asyncio

import pytest

from wx2mqtt.wechat.ilink.qr_poll import NumberEntered, NumberState, VerificationCode


def expected_code() -> VerificationCode:
    code = VerificationCode()
    code.state = NumberState.EXPECTED
    return code


@pytest.mark.parametrize("state", [NumberState.UNWANTED, NumberState.ENTERED, NumberState.SENT])
def test_a_number_counts_only_while_it_is_expected(state: NumberState) -> None:
    code = VerificationCode()
    code.state = state
    code.enter("123")
    assert (code.state, code.number) == (state, "")


def test_a_number_is_taken_without_blanks_and_a_blank_one_is_none() -> None:
    code = expected_code()
    code.enter("  ")
    assert code.state is NumberState.EXPECTED
    code.enter(" 123 ")
    assert (code.state, code.number) == (NumberState.ENTERED, "123")


async def test_a_number_that_is_entered_ends_what_is_waited_for_at_once() -> None:
    code = expected_code()
    work = asyncio.Event()
    waiting = asyncio.create_task(code.unless_entered(work.wait()))
    await asyncio.sleep(0)
    code.enter("123")
    with pytest.raises(NumberEntered):
        await waiting


async def test_work_that_ends_first_has_its_result() -> None:
    code = expected_code()

    async def work() -> str:
        return "answer"

    assert await code.unless_entered(work()) == "answer"
    code.enter("123")  # nothing is waited for any more
    assert code.state is NumberState.ENTERED


async def test_an_error_of_the_work_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("no answer")

    with pytest.raises(ValueError, match="no answer"):
        await expected_code().unless_entered(fail())
