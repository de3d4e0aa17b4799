"""A gRPC server that answers every inference with an empty message, without a look at it.

python -m benchmarks.floor.grpc_sink --port N
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator

import grpc
import uvloop

SERVICE = "inference.GRPCInferenceService"
STREAM_ANSWER = b"\x12\x00"  # ModelStreamInferResponse with an empty infer_response


async def infer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    """ModelInfer."""
    return b""


async def stream_infer(
    requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext
) -> AsyncIterator[bytes]:
    """ModelStreamInfer: an answer each."""
    async for _ in requests:
        yield STREAM_ANSWER


async def serve(port: int) -> None:
    """Listen until the process is ended."""
    server = grpc.aio.server()
    handlers = {
        "ModelInfer": grpc.unary_unary_rpc_method_handler(infer),
        "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(stream_infer),
    }
    service = grpc.method_handlers_generic_handler(SERVICE, handlers)
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
