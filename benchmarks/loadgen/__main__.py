"""``python -m benchmarks.loadgen``: one generator process, told what to do on standard input.

Frames are a length of four bytes and a message in MessagePack. In: a ``Job``, then the time to
begin at (monotonic, seconds). Out: an empty frame once the slots are open, then a ``Part``. When
standard input ends, the generator stops and reports what it has; signals it leaves to who started
it (``benchmarks.child``).
"""

from __future__ import annotations

import asyncio
import gc
import sys

import msgspec
import uvloop

from benchmarks.child import leave_signals_to_parent
from benchmarks.loadgen.closed_loop import ClosedGenerator
from benchmarks.loadgen.frames import Job, read_frame, write_frame
from benchmarks.loadgen.open_loop import OpenGenerator
from benchmarks.loadgen.outcomes import Part
from benchmarks.loadgen.spec import OpenLoop


async def generate(job: Job) -> Part:
    """Connect, wait for the word, and run."""
    spec, load = job.spec, job.spec.load
    generator = (
        OpenGenerator(spec, load, job.process)
        if isinstance(load, OpenLoop)
        else ClosedGenerator(spec, load, job.process)
    )
    slots = spec.connections // spec.processes
    await generator.connect(max(1, slots + (job.process < spec.connections % spec.processes)))
    # A collection pauses the generator, and would be charged to the server.
    gc.collect()
    gc.freeze()
    gc.disable()
    write_frame(sys.stdout.buffer, b"")
    zero_s = msgspec.msgpack.decode(read_frame(sys.stdin.buffer), type=float)
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), _ended, generator)
    try:
        return await generator.run(zero_s)
    finally:
        loop.remove_reader(sys.stdin.fileno())


def _ended(generator: OpenGenerator | ClosedGenerator) -> None:
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    generator.stop()


def main() -> None:
    leave_signals_to_parent()
    job = msgspec.msgpack.decode(read_frame(sys.stdin.buffer), type=Job)
    part = uvloop.run(generate(job))
    write_frame(sys.stdout.buffer, msgspec.msgpack.encode(part))


if __name__ == "__main__":
    main()
