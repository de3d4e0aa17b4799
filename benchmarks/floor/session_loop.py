"""A plain loop around ``session.run``: the most rows a second that a runtime gives.

Commands come in on standard input, one JSON object a line, and answers go out the same way, so
that one warm session is measured again and again between the rounds of the server:

    {"rows": 64, "duration_s": 1.0}  →  {"rows": 64, "rows_per_s": 20711.0, "cpu_s_per_run": …}

    python -m benchmarks.floor.session_loop MODEL.onnx [--threads N]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks.child import leave_signals_to_parent


def measure(
    session: onnxruntime.InferenceSession, rows: int, duration_s: float
) -> dict[str, float]:
    """Run batches of ``rows`` rows for a while."""
    declared = session.get_inputs()[0]
    shape = (rows, *declared.shape[1:])
    feed = {declared.name: np.random.default_rng(0).standard_normal(shape, np.float32)}
    session.run(None, feed)
    runs, cpu_start, start = 0, time.process_time(), time.perf_counter()
    end = start + duration_s
    while (now := time.perf_counter()) < end:
        session.run(None, feed)
        runs += 1
    return {
        "rows": rows,
        "rows_per_s": runs * rows / (now - start),
        "cpu_s_per_run": (time.process_time() - cpu_start) / runs,
    }


def main() -> None:
    leave_signals_to_parent()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    # Without a pause between runs there is nothing to spin for, and a spinning thread would take
    # a core from the server while that is measured.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(arguments.model), options)
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(measure(session, command["rows"], command["duration_s"])), flush=True)


if __name__ == "__main__":
    main()
