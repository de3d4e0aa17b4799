"""The process of one step: ``python -m optimize.worker TASK.json OUTPUT_FOLDER``."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import sys
import traceback
from pathlib import Path

from optimize.errors import OptimizeError

__all__ = ["main"]


def main(task_file: Path, output: Path) -> int:
    """Do the task; what is wrong goes to ``error.json`` in the output folder.

    On a full disk not even that can be written: then the exit code alone, ``errno.ENOSPC``, tells.
    """
    task = json.loads(task_file.read_text())
    limit = int(task["memory_mb"]) * 2**20
    # What the process has itself, not what it maps: runtimes reserve far more than they use.
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    output.mkdir(parents=True, exist_ok=True)
    try:
        from optimize.session import serve_on
        from optimize.tasks import TASKS

        serve_on(task.get("device", "cpu"))
        TASKS[task["task"]](task, output)
    except BaseException as error:  # noqa: BLE001 - told to the process that started this one
        with contextlib.suppress(OSError):
            traceback.print_exc()
        details = {
            "step": getattr(error, "step", "") if isinstance(error, OptimizeError) else "",
            "problem": getattr(error, "problem", "")
            or f"{type(error).__name__}: {' '.join(str(error).split())[:400]}",
            "remedy": getattr(error, "remedy", ""),
            "errno": getattr(error, "errno", None),
        }
        full = details["errno"] == errno.ENOSPC or "No space left" in str(error)
        with contextlib.suppress(OSError):
            (output / "error.json").write_text(json.dumps(details))
        return errno.ENOSPC if full else 1
    return 0


if __name__ == "__main__":
    exit_code = main(Path(sys.argv[1]), Path(sys.argv[2]))
    if exit_code == errno.ENOSPC:
        os._exit(exit_code)  # a log that cannot be written to its end would exit with another code
    sys.exit(exit_code)
