"""``python -m benchmarks.loadgen``: a specification on standard input, a result on output."""

from __future__ import annotations

import gc
import sys

import msgspec
import uvloop

from benchmarks.loadgen import closed_loop, open_loop
from benchmarks.loadgen.spec import ClosedLoop, LoadResult, OpenLoop, OpenResult


async def run(spec: OpenLoop | ClosedLoop) -> OpenResult | LoadResult:
    """Run the load that the specification's type asks for."""
    # A collection pauses the generator, and would be charged to the server.
    gc.freeze()
    gc.disable()
    if isinstance(spec, OpenLoop):
        return await open_loop.run(spec)
    return await closed_loop.run(spec)


def main() -> None:
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=OpenLoop | ClosedLoop)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run(spec))))


if __name__ == "__main__":
    main()
