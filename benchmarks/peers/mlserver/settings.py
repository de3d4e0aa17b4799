"""MLServer's two settings files, OIP v2.

default: as its guide to custom runtimes has it; one worker process beside the server.
tuned: `parallel_workers: 0`, which keeps inference in the server's process, since handing a request
to a worker costs more than these models do (https://mlserver.readthedocs.io/en/latest/user-guide/
parallel-inference.html), and `debug: false`, which is its access log.
batched: tuned, and adaptive batching (`max_batch_size`, `max_batch_time`): a row of its own, as
it costs CPU here and is what its documentation names first. Tried and no better: two workers and
batching, batches of 32 within 1 ms.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers.ports import free_port


def main() -> None:
    row, name, path, port, scratch = sys.argv[1:]
    server: dict[str, Any] = {
        "host": "127.0.0.1",
        "http_port": int(port),
        "grpc_port": free_port(),
        "metrics_port": free_port(),
    }
    model: dict[str, Any] = {
        "name": name,
        "implementation": "benchmarks.peers.mlserver.runtime.OnnxRuntime",
        "parameters": {"uri": path, "version": "1"},
    }
    if row != "default":
        server |= {"debug": False, "parallel_workers": 0}
    if row == "batched":
        model |= {"max_batch_size": 64, "max_batch_time": 0.002}
    (Path(scratch) / "settings.json").write_text(json.dumps(server))
    (Path(scratch) / "model-settings.json").write_text(json.dumps(model))


if __name__ == "__main__":
    main()
