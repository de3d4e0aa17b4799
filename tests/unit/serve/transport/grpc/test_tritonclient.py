"""tritonclient, unchanged: sync, asynchronous, streaming and asyncio."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

from serve.errors import NotFound


async def test_sync_client(address: str, triton_input: Any) -> None:
    def talk() -> None:
        with triton.InferenceServerClient(address) as client:
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("m")
            assert client.get_server_metadata().name == "penstock"
            assert client.get_model_metadata("m", as_json=True)["inputs"][0]["name"] == "x"
            assert client.get_model_config("m").config.max_batch_size == 8
            assert client.get_inference_statistics("m").model_stats[0].name == "m"
            assert len(client.get_model_repository_index().models) == 2
            client.load_model("m")
            client.unload_model("m")
            for compression in (None, "gzip", "deflate"):
                result = client.infer(
                    "m",
                    [triton_input],
                    request_id="7",
                    outputs=[triton.InferRequestedOutput("x")],
                    client_timeout=30,
                    priority=1,
                    timeout=30_000_000,
                    compression_algorithm=compression,
                    parameters={"k": "v"},
                )
                assert result.as_numpy("x").tolist() == [[1.0, 2.0]]
                assert result.get_response().id == "7"

    await asyncio.to_thread(talk)


async def test_sync_client_is_told_the_error(address: str, plane: Any, triton_input: Any) -> None:
    plane.refusal = NotFound("Request for unknown model: 'm' is not found")

    def talk() -> None:
        with (
            triton.InferenceServerClient(address) as client,
            pytest.raises(triton.InferenceServerException, match="unknown model") as caught,
        ):
            client.infer("m", [triton_input])
        assert caught.value.status() == "StatusCode.NOT_FOUND"

    await asyncio.to_thread(talk)


async def test_async_infer(address: str, triton_input: Any) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()

    def talk() -> None:
        with triton.InferenceServerClient(address) as client:
            for index in range(50):
                client.async_infer(
                    "m",
                    [triton_input],
                    lambda result, error: answers.put((result, error)),
                    request_id=str(index),
                )
            replies = [answers.get(timeout=60) for _ in range(50)]
        assert all(error is None for _, error in replies)
        assert {result.get_response().id for result, _ in replies} == set(map(str, range(50)))

    await asyncio.to_thread(talk)


async def test_stream(address: str, triton_input: Any) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()

    def talk() -> None:
        with triton.InferenceServerClient(address) as client:
            client.start_stream(lambda result, error: answers.put((result, error)))
            for index in range(50):
                client.async_stream_infer(
                    "m",
                    [triton_input],
                    request_id=str(index),
                    enable_empty_final_response=True,
                )
            replies = [answers.get(timeout=60) for _ in range(50)]
            client.stop_stream()
        assert [result.get_response().id for result, _ in replies] == list(map(str, range(50)))
        for result, _ in replies:
            assert result.get_response().parameters["triton_final_response"].bool_param

    await asyncio.to_thread(talk)


async def test_aio_client(address: str, triton_input: Any) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for index in range(10):
            yield {"model_name": "m", "inputs": [triton_input], "request_id": str(index)}

    async with triton_aio.InferenceServerClient(address) as client:
        result = await client.infer("m", [triton_input], client_timeout=30)
        assert np.array_equal(result.as_numpy("x"), [[1.0, 2.0]])
        replies = [reply async for reply in client.stream_infer(requests())]
    assert all(error is None for _, error in replies)
    assert [result.get_response().id for result, _ in replies] == list(map(str, range(10)))


async def test_stream_errors_are_given_to_the_callers(
    address: str, plane: Any, triton_input: Any
) -> None:
    plane.refusal = NotFound("no such model")

    async def requests() -> AsyncIterator[dict[str, Any]]:
        for _ in range(2):
            yield {"model_name": "m", "inputs": [triton_input]}

    async with triton_aio.InferenceServerClient(address) as client:
        replies = [reply async for reply in client.stream_infer(requests())]
    assert [error.message() for _, error in replies] == ["no such model"] * 2
