"""Reflection streams are counted."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from serve.protocol.status import DEFAULT
from serve.transport.grpc.failures import Failures
from serve.transport.grpc.intake import Intake
from serve.transport.grpc.reflection import add_reflection


async def test_streams_over_the_limit_are_refused_and_free_their_place(plane: Any) -> None:
    server = grpc.aio.server()
    add_reflection(server, ("a.B",), Failures(plane, DEFAULT), Intake(1, 1))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        question = reflection_pb2.ServerReflectionRequest(list_services="")
        open_call = ask()
        await open_call.write(question)
        names = {item.name for item in (await open_call.read()).list_services_response.service}
        assert names == {"a.B", "grpc.reflection.v1alpha.ServerReflection"}
        with pytest.raises(grpc.aio.AioRpcError, match="try again"):
            await ask(iter([question])).read()
        await open_call.done_writing()
        assert await open_call.read() is grpc.aio.EOF
    await server.stop(None)
