"""Answers rendered together: each as it would be by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from serve.errors import NotFound, Overloaded, PenstockError
from serve.gateway.interface import Sink, Ticket, Together
from serve.monitoring.metrics import RequestSeries
from serve.scheduling.entry import Entry
from serve.tensors import Array, InferResponse, RequestBlock, Tensor
from tests.support.entries import OWN_ROWS
from tests.support.http import FakePlane, Wire, binary_body, infer_body, post, settle


class TurnPlane(FakePlane):
    """Keeps the blocks it is given; ``answer_block`` answers one of them as a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[tuple[list[Entry], Together]] = []
        self.refused: dict[int, PenstockError] = {}

    def submit_block(
        self, block: RequestBlock, sinks: Sequence[Sink], together: Together
    ) -> list[Ticket | PenstockError]:
        self._known(block.requests[0].model_name)
        entries = [
            Entry(request, sink, OWN_ROWS, (), 1, (), 0, 0, RequestSeries())
            for request, sink in zip(block.requests, sinks, strict=True)
        ]
        self.blocks.append((entries, together))
        return [self.refused.get(index, entry) for index, entry in enumerate(entries)]

    def answer_block(self, output: Array, datatype: str = "FP32") -> None:
        entries, together = self.blocks.pop(0)
        together(InferResponse("echo", "1", [Tensor("y", datatype, output)]), entries)


class Turn:
    """Several connections whose requests come in one turn of the loop."""

    def __init__(self, count: int) -> None:
        self.plane = TurnPlane()
        self.steps: list[Any] = []
        first = Wire(self.plane)
        self.wires = [first, *(Wire(self.plane, context=first.context) for _ in range(count - 1))]
        first.context.call_soon = self.steps.append

    async def send(self, *requests: bytes) -> None:
        for wire, request in zip(self.wires, requests, strict=True):
            wire.send(request)
        await self.end()

    async def end(self) -> None:
        for step in self.steps:
            step()
        self.steps.clear()
        await settle()

    @property
    def statuses(self) -> list[int]:
        return [reply.status for wire in self.wires for reply in wire.replies]


BODY = infer_body([1.0, 2.0])


async def test_requests_of_one_turn_are_answered_together() -> None:
    turn = Turn(3)
    await turn.send(post(BODY), post(BODY), post(BODY, X_Request_Id="me"))
    assert [len(entries) for entries, _ in turn.plane.blocks] == [3]
    turn.plane.answer_block(np.arange(3, dtype=np.float32).reshape(3, 1))
    values = [wire.reply.json["outputs"][0]["data"] for wire in turn.wires]
    assert values == [[0], [1], [2]]
    assert turn.wires[2].reply.headers["x-request-id"] == "me"


async def test_answer_that_cannot_be_rendered_costs_only_itself() -> None:
    turn = Turn(3)
    await turn.send(*[post(BODY)] * 3)
    turn.plane.answer_block(np.array([[b"a"], [b"\xff"], [b"c"]], object), "BYTES")
    assert turn.statuses == [200, 400, 200]
    assert "not UTF-8" in turn.wires[1].reply.json["error"]
    assert turn.wires[2].reply.json["outputs"][0]["data"] == ["c"]


async def test_client_that_leaves_before_the_end_of_the_turn_is_left_out() -> None:
    turn = Turn(2)
    for wire in turn.wires:
        wire.send(post(BODY))
    turn.wires[0].hang_up()
    await turn.end()
    assert [len(entries) for entries, _ in turn.plane.blocks] == [1]


async def test_client_that_leaves_a_block_withdraws_only_its_own() -> None:
    turn = Turn(2)
    await turn.send(post(BODY), post(BODY))
    turn.wires[0].hang_up()
    ((entries, _),) = turn.plane.blocks
    assert [entry.done for entry in entries] == [True, False]
    turn.plane.answer_block(np.zeros((2, 1), np.float32))
    assert turn.statuses == [200]


async def test_refused_requests_of_a_block_are_answered() -> None:
    turn = Turn(2)
    turn.plane.refused[1] = Overloaded("queue is full", reason="queue", retry_after_s=2.0)
    await turn.send(post(BODY), post(BODY))
    turn.plane.answer_block(np.zeros((2, 1), np.float32))
    assert sorted(turn.statuses) == [200, 503]


@pytest.mark.parametrize(("error", "status"), [(NotFound("gone"), 404), (KeyError("bug"), 500)])
async def test_block_that_is_refused_whole_is_answered(error: Exception, status: int) -> None:
    turn = Turn(2)

    def refuse(*_: Any) -> None:
        raise error

    turn.plane.submit_block = refuse  # type: ignore[method-assign, assignment]
    await turn.send(post(BODY), post(BODY))
    assert turn.statuses == [status, status]


async def test_binary_requests_of_one_header_are_answered_together() -> None:
    turn = Turn(2)
    body, json_bytes = binary_body(np.ones(2, np.float32))
    request = post(body, Inference_Header_Content_Length=str(json_bytes))
    await turn.send(request, request)
    assert [len(entries) for entries, _ in turn.plane.blocks] == [2]


async def test_headers_go_with_the_request(plane: FakePlane) -> None:
    wire = Wire(plane)
    for user in ("ann", "bob", "ann"):  # the third head is known by heart
        wire.send(post(BODY, X_User=f" {user} "))
    wire.send(post(BODY, X_User="first").replace(b"\r\n\r\n", b"\r\nx-user: second\r\n\r\n"))
    told = [request.headers and request.headers.get(b"x-user") for request in plane.requests]
    assert [user and user.strip() for user in told] == [b"ann", b"bob", b"ann", b"first"]


async def test_headers_go_with_each_request_of_a_turn() -> None:
    turn = Turn(2)
    await turn.send(post(BODY, X_User="ann"), post(BODY, X_User="bob"))
    ((entries, _),) = turn.plane.blocks
    headers = [entry.request.headers for entry in entries]
    assert [one and one.get(b"x-user") for one in headers] == [b"ann", b"bob"]
