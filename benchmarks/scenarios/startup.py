"""From the start of the process to ready, with the small model."""

from __future__ import annotations

from benchmarks.context import Context
from benchmarks.models import SMALL
from benchmarks.result import Check, Result
from benchmarks.summary import figure

NAME = "startup"
STARTS = 5
MAX_S = 2.0


def run(context: Context) -> Result:
    """Five fresh processes, one after the other."""
    repository, _ = context.write(SMALL)
    context.say(f"{NAME}: {STARTS} starts")
    seconds = []
    exits = []
    for _ in range(STARTS):
        server = context.start_penstock(repository)
        try:
            seconds.append(server.wait_ready())
        finally:
            exits.append(server.stop())
    return Result(
        NAME,
        (
            Check(figure("process start to ready", seconds, "s"), "<=", MAX_S),
            Check(figure("exit status after SIGTERM", [abs(code) for code in exits]), "<=", 0),
        ),
        details={"ready_s": seconds, "exit_statuses": exits},
    )
