"""Ray Serve on a cluster of its own, which ends with this process.

default: as its quick start has it, one replica, no batches.
tuned: `@serve.batch`, `max_ongoing_requests` above its 5, the access log off. Tried and no better:
two replicas.
haproxy: tuned, and Ray's HAProxy ingress and throughput flags (see run.sh).
Never `ray stop`, which would end every Ray on the machine.
"""

from __future__ import annotations

import signal
import sys
import threading

import ray
from ray import serve

from benchmarks.peers.rayserve.application import batched, one_by_one


def main() -> None:
    row, _, path, port, scratch = sys.argv[1:]
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    # A short path: Ray's sockets lie under it, and their names may have 107 bytes.
    ray.init(address="local", _temp_dir=f"{scratch}/ray", include_dashboard=False)
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
        if row == "default":
            serve.run(one_by_one.bind(path), route_prefix="/")
        else:
            logging = {"enable_access_log": False}
            serve.run(batched.bind(path), route_prefix="/", logging_config=logging)
        ended.wait()
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main()
