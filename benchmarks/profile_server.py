"""Where each microsecond of a small request goes: py-spy over a loaded server, by module.

    python -m benchmarks.profile_server [--connections 64] [--seconds 10] [--floor] [--lines 0]

A sample belongs to the innermost module or native library on its stack (orjson, uvloop, …), the
sockets' system calls to themselves. The share of samples times the CPU per request, measured
without the profiler attached, gives microseconds.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.context import Context, penstock_command
from benchmarks.loadgen.launch import run_load
from benchmarks.loadgen.spec import ClosedLoop, LoadSpec, Target
from benchmarks.models import FEATURES, SMALL
from benchmarks.payloads import json_rows
from benchmarks.process import Server, running
from benchmarks.subject import Launch

SAMPLES_PER_S = 500
LOOP_THREAD = "MainThread"
_FRAME = re.compile(r"^(?P<function>.+) \((?P<file>[^()]+?)(?::(?P<line>\d+))?\)$")
_LIBRARIES = ("onnxruntime", "uvloop", "httptools", "orjson", "msgspec", "numpy", "grpc")
# Libraries built with debug information show their source files instead of their own names.
_SOURCES = {
    **dict.fromkeys(("loop.c", "core.c", "stream.c", "linux.c", "loop-watcher.c"), "uvloop"),
    **dict.fromkeys(("parser.c", "llhttp.c", "api.c", "http.c"), "httptools"),
}
_SOCKETS = {
    "UVStream__try_write": "socket: write",
    "uv__write": "socket: write",
    "uv__try_write": "socket: write",
    "uv__read": "socket: read",
    "uv__io_poll": "socket: poll",
}
INTERPRETER = "python"

Frame = tuple[str, str]
"""Module, and function:line."""


def module_of(file: str) -> str:
    """What a frame's file belongs to: one of our modules, a library, or the interpreter."""
    if file.endswith(".py"):
        for package in ("serve/", "benchmarks/"):
            if (at := file.find(package)) >= 0:
                return file[at:-3].removesuffix("/__init__").replace("/", ".")
    for library in _LIBRARIES:
        if library in file:
            return library
    return _SOURCES.get(file, INTERPRETER)


def samples(raw: Iterable[str]) -> Iterator[tuple[list[Frame], int]]:
    """The loop thread's stacks in py-spy's raw format, outermost frame first, with their count.

    Other threads only wait while requests are this small, and py-spy cannot tell that from work
    where the wait is in native code.
    """
    for line in raw:
        stack, _, count = line.rstrip("\n").rpartition(" ")
        thread, *names = stack.split(";")
        if not count.isdigit() or not thread.endswith(LOOP_THREAD):
            continue
        frames = []
        for name in names:
            if match := _FRAME.match(name):
                where = f"{match['function']}:{match['line'] or ''}".rstrip(":")
                frames.append((module_of(match["file"]), where))
        yield frames, int(count)


def attribute(frames: Sequence[Frame]) -> Frame:
    """The frame a sample is charged to: the innermost that is not the interpreter or the C library.

    Memory and the interpreter's own work are thereby charged to whoever caused them. uvloop's
    system calls stand for themselves: no server does without them.
    """
    for module, where in reversed(frames):
        function = where.partition(":")[0]
        if function in _SOCKETS:
            return _SOCKETS[function], where
        if module != INTERPRETER:
            return module, where
    return INTERPRETER, frames[-1][1] if frames else ""


def record(server: Server, seconds: int, folder: Path) -> Path:
    """Profile a server that is under load.

    Raises:
        FileNotFoundError: py-spy is not installed (the `bench` extra has it).
    """
    beside = Path(sys.executable).parent / "py-spy"
    command = str(beside) if beside.exists() else shutil.which("py-spy")
    if not command:
        raise FileNotFoundError("no `py-spy`: install the `bench` extra")
    raw = folder / f"{server.name}.raw"
    subprocess.run(
        [
            *(
                command,
                "record",
                "--native",
                "--threads",
                "--format",
                "raw",
                "--rate",
                str(SAMPLES_PER_S),
            ),
            *("--duration", str(seconds), "--output", str(raw), "--pid", str(server.pid)),
        ],
        check=True,
        capture_output=True,
    )
    return raw


def table(title: str, counts: Counter[str], cpu_us: float, most: int) -> Table:
    """Shares and microseconds a request, largest first."""
    total = sum(counts.values())
    shown = Table(title=title)
    shown.add_column("where")
    shown.add_column("share", justify="right")
    shown.add_column("µs/request", justify="right")
    for name, count in counts.most_common(most):
        shown.add_row(name, f"{count / total:.1%}", f"{count / total * cpu_us:.2f}")
    shown.add_row("all", "100.0%", f"{cpu_us:.2f}", style="bold")
    return shown


def profile(context: Context, server: Server, connections: int, seconds: int, lines: int) -> None:
    """Measure, then load again with the profiler attached, and print."""
    payload = json_rows(SMALL.name, 1, FEATURES)
    spec = LoadSpec(
        target=Target(port=server.port),
        payloads=(payload,),
        load=ClosedLoop(duration_s=seconds + 4),
        connections=connections,
    )
    before_s = server.cpu_s()
    answered = run_load(spec).answered
    cpu_us = (server.cpu_s() - before_s) / max(1, answered) * 1e6
    console = Console()
    raw = _under_load(context, server, spec, seconds)
    modules: Counter[str] = Counter()
    places: Counter[str] = Counter()
    with raw.open() as stacks:
        for frames, count in samples(stacks):
            module, where = attribute(frames)
            modules[module] += count
            places[f"{module} {where}"] += count
    title = f"{server.name}, {connections} connections"
    console.print(table(f"{title}: by module", modules, cpu_us, 40))
    if lines:
        console.print(table(f"{title}: by line", places, cpu_us, lines))


def _under_load(context: Context, server: Server, spec: LoadSpec, seconds: int) -> Path:
    """Profile in this thread while a load generator runs beside it."""
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(run_load, spec)
        raw = record(server, seconds, context.folder)
        loading.result()
    return raw


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--lines", type=int, default=0, help="also the N most expensive lines")
    parser.add_argument("--floor", action="store_true", help="profile the floor instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="penstock-profile-") as folder:
        where = Path(folder)
        context = Context(where, Launch(where, penstock=penstock_command()))
        repository, model = context.write(SMALL)
        starting = context.start_floor(model) if arguments.floor else context.start(repository)
        with running(starting) as server:
            profile(context, server, arguments.connections, arguments.seconds, arguments.lines)


if __name__ == "__main__":
    main()
