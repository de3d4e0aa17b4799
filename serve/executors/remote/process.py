"""An engine in a process of its own: ``python -m serve.executors.remote.process --help``.

It prints one line of JSON when gateways can connect: replica, pid, socket, host, port, admin_port,
model, version. SIGTERM and SIGINT drain it, and so does the end of its standard input if asked for.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from serve.clock import monotonic_ns
from serve.errors import PenstockError, RepositoryError
from serve.executors.loader import Prepared, prepare, source_of
from serve.executors.remote.admin_port import AdminPort
from serve.executors.remote.engine import Engine
from serve.executors.remote.engine_options import EngineOptions
from serve.executors.remote.metrics import engine_page
from serve.monitoring.logs import set_up_logs
from serve.repository.scan import scan_model

__all__ = ["main"]

log = logging.getLogger("penstock.engine")


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m serve.executors.remote.process",
        description="Run one version of a model for gateways that connect.",
    )
    parser.add_argument("--model", type=Path, required=True, help="The model's folder.")
    parser.add_argument("--version", type=int, help="Its version; default: the latest.")
    parser.add_argument("--replica", default=f"{os.getpid()}", help="Name; default: the pid.")
    parser.add_argument("--socket", type=Path, help="Unix socket, in a folder of mode 0700.")
    parser.add_argument("--host", help="Address for TCP; needs --secret-file.")
    parser.add_argument("--port", type=int, default=0, help="Port for TCP; 0: any free one.")
    parser.add_argument("--secret-file", type=Path, help="File that holds the shared secret.")
    parser.add_argument(
        "--admin-port", type=int, help="Port of /metrics and /healthz; 0: any free; default: none."
    )
    parser.add_argument("--admin-host", default="127.0.0.1", help="Address of the admin port.")
    parser.add_argument("--stall-timeout", type=float, default=10.0, metavar="S")
    parser.add_argument("--drain-timeout", type=float, default=30.0, metavar="S")
    parser.add_argument("--log-level", default="info")
    parser.add_argument(
        "--until-stdin-ends", action="store_true", help="Drain when standard input is closed."
    )
    return parser.parse_args(argv)


def _prepared(folder: Path, version: int | None) -> Prepared:
    entry = scan_model(folder)
    numbers = {each.number: each for each in entry.versions}
    number = version or max(numbers)
    if number not in numbers:
        raise RepositoryError(
            path=str(folder),
            problem=f"version {number} is not among those served: {sorted(numbers)}",
            remedy="name one of them with --version, or see `versions` in model.yaml",
        )
    return prepare(source_of(entry, numbers[number]), monotonic_ns)


def _started(arguments: argparse.Namespace) -> tuple[Engine, AdminPort | None]:
    secret = None
    if arguments.secret_file is not None:
        secret = arguments.secret_file.read_bytes().strip()
    options = EngineOptions(
        socket=arguments.socket,
        host=arguments.host,
        port=arguments.port,
        secret=secret,
        stall_s=arguments.stall_timeout,
    )
    prepared = _prepared(arguments.model, arguments.version)
    engine = Engine(prepared, options, replica=arguments.replica, clock=monotonic_ns)
    engine.start()
    if arguments.admin_port is None:
        return engine, None
    try:
        page = engine_page(engine)
        return engine, AdminPort(arguments.admin_host, arguments.admin_port, page, engine.health)
    except OSError:
        engine.close()
        raise


def main(argv: Sequence[str]) -> int:
    """Run until told to end; the exit code."""
    arguments = _arguments(argv)
    set_up_logs(arguments.log_level, "text")
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    try:
        engine, admin = _started(arguments)
    except (PenstockError, OSError, ValueError) as error:
        log.error("%s", error)
        return 2
    ready = {
        "replica": arguments.replica,
        "pid": os.getpid(),
        "socket": str(arguments.socket or ""),
        "host": arguments.host or "",
        "port": engine.port,
        "admin_port": admin.port if admin is not None else 0,
        "model": engine.description.model,
        "version": engine.description.version,
    }
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    if arguments.until_stdin_ends:
        threading.Thread(target=_watch_stdin, args=(over,), daemon=True).start()
    over.wait()
    drained = engine.drain(arguments.drain_timeout)
    if admin is not None:
        admin.close()
    engine.close()
    return 0 if drained else 1


def _watch_stdin(over: threading.Event) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    over.set()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    sys.stdout.flush()
    # A model that hangs would keep the interpreter from ending.
    os._exit(code)
