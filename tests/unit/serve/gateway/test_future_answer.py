from __future__ import annotations

import pytest

from serve.errors import NotReady
from serve.gateway.future_answer import FutureAnswer
from serve.tensors import InferResponse

RESPONSE = InferResponse("m", "1", [])


class Ticket:
    cancelled = 0

    def cancel(self) -> None:
        self.cancelled += 1


async def submitted() -> tuple[FutureAnswer, Ticket]:
    answer, ticket = FutureAnswer(), Ticket()
    answer.ticket = ticket
    return answer, ticket


async def test_answer_is_awaited() -> None:
    answer, _ = await submitted()
    answer.answered(RESPONSE)
    assert await answer is RESPONSE
    assert answer.ticket is None


async def test_error_is_raised() -> None:
    answer, _ = await submitted()
    answer.failed(NotReady("being unloaded"))
    with pytest.raises(NotReady):
        await answer


async def test_cancelling_withdraws_the_request_once() -> None:
    answer, ticket = await submitted()
    answer.cancel()
    answer.cancel()
    answer.answered(RESPONSE)
    assert ticket.cancelled == 1
    assert answer.cancelled()


async def test_cancelling_an_answered_request_withdraws_nothing() -> None:
    answer, ticket = await submitted()
    answer.answered(RESPONSE)
    assert not answer.cancel()
    assert ticket.cancelled == 0
