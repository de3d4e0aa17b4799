"""Running one step in a process of its own: limited in time and memory, and repeatable by hand."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from optimize.cache import Cache
from optimize.errors import Interrupted, OptimizeError
from optimize.settings import StepLimits

__all__ = ["run_step"]

MEMORY_SHARE = 0.8
SCRATCH = "tmp"
"""In a step's folder, until it is done."""
OUT_OF_MEMORY = ("MemoryError", "bad_alloc", "Cannot allocate memory", "Failed to allocate memory")


def run_step(cache: Cache, key: str, name: str, task: dict[str, Any], limits: StepLimits) -> Path:
    """The folder that the step made, now or in an earlier run.

    In it, ``reproduce.sh`` runs the step again by hand and ``log.txt`` has what it printed.

    Raises:
        Interrupted: Ctrl-C; the step's process is ended, finished steps are kept.
        OptimizeError: it failed, or was ended at a limit.
    """
    found = cache.find(key)
    if found is not None:
        return found
    try:
        work = cache.begin(key)
        memory = limits.memory_mb or int(psutil.virtual_memory().total * MEMORY_SHARE / 2**20)
        (work / "task.json").write_text(json.dumps({"memory_mb": memory, **task}, indent=1))
        task_file = cache.folder / key / "task.json"
        root = Path(__file__).resolve().parents[1]
        kept = task_file.parent / "again"
        again = shlex.join([*_command(kept), str(task_file), str(kept)])
        (work / "reproduce.sh").write_text(
            f"#!/bin/sh\nmkdir -p {shlex.quote(str(kept / SCRATCH))}"
            f" && cd {shlex.quote(str(root))} && {again}\n"
        )
        (work / SCRATCH).mkdir()
        command = [*_command(work), str(work / "task.json"), str(work)]
        with open(work / "log.txt", "wb") as log:
            code = _wait(name, command, log, limits, root)
        if code != 0:
            raise _failure(name, work, code, memory)
        shutil.rmtree(work / SCRATCH)
        return cache.finish(key, work)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _disk_full(name, cache.folder) from error
        raise


def _command(work: Path) -> list[str]:
    """The step's process, whose temporary files and compiler caches are in its own folder.

    A step that is killed leaves them there, where the next run sweeps them away.
    """
    scratch = work / SCRATCH
    places = [f"TMPDIR={scratch}", f"TORCHINDUCTOR_CACHE_DIR={scratch / 'inductor'}"]
    return ["/usr/bin/env", *places, sys.executable, "-m", "optimize.worker"]


def _wait(name: str, command: list[str], log: Any, limits: StepLimits, root: Path) -> int:
    # A group of its own: Ctrl-C in a terminal must reach the step through here, in order.
    with subprocess.Popen(  # noqa: S603 - this interpreter, this package
        command, stdout=log, stderr=subprocess.STDOUT, cwd=root, start_new_session=True
    ) as process:
        try:
            return process.wait(limits.minutes * 60)
        except subprocess.TimeoutExpired:
            _end(process)
            raise OptimizeError(
                step=name,
                problem=f"was not done after {limits.minutes:g} minutes",
                remedy="raise optimize.limits.minutes, or give it fewer rows",
            ) from None
        except KeyboardInterrupt:
            _end(process)
            raise Interrupted(
                step=name,
                problem="stopped by Ctrl-C",
                remedy="finished steps are kept: run the same command to go on from here",
            ) from None


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _failure(name: str, work: Path, code: int, memory_mb: int) -> OptimizeError:
    if code == errno.ENOSPC:
        return _disk_full(name, work.parent)
    error = work / "error.json"
    log = (work / "log.txt").read_text(errors="replace")
    if error.exists():
        found = json.loads(error.read_text())
        text = found["problem"]
        if any(sign in text for sign in OUT_OF_MEMORY):
            return _out_of_memory(name, memory_mb)
        return OptimizeError(
            step=found["step"] or name,
            problem=text,
            remedy=found["remedy"] or f"the whole story is in {work / 'log.txt'}",
        )
    if code == -signal.SIGKILL or any(sign in log for sign in OUT_OF_MEMORY):
        return _out_of_memory(name, memory_mb)
    last = log.strip().splitlines()[-1:] or ["it printed nothing"]
    return OptimizeError(
        step=name,
        problem=f"its process ended with {code}: {last[0][:200]}",
        remedy=f"the whole story is in {work / 'log.txt'}",
    )


def _out_of_memory(name: str, memory_mb: int) -> OptimizeError:
    return OptimizeError(
        step=name,
        problem=f"out of memory (the limit is {memory_mb} MB)",
        remedy="raise optimize.limits.memory_mb, or give it fewer rows",
    )


def _disk_full(name: str, folder: Path) -> OptimizeError:
    return OptimizeError(
        step=name,
        problem=f"the disk that holds {folder} is full",
        remedy="make room and run again: finished steps are kept",
    )
