"""A model, and small HTTP servers that answer it rightly or wrongly."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.peers.models import MODELS
from benchmarks.peers.results import Loaded, Results, Visit


@pytest.fixture(scope="session")
def mlp(tmp_path_factory):
    """The small model, its records and answers."""
    return MODELS["mlp"](tmp_path_factory.mktemp("repository"))


class Crowded(ThreadingHTTPServer):
    """Takes as many connections at once as there are records to ask about."""

    request_queue_size = 256


@pytest.fixture
def answering():
    """Starts servers on this machine that answer a body with what a function makes of it."""
    with contextlib.ExitStack() as stack:

        def start(answer, status=200):
            class Handler(BaseHTTPRequestHandler):
                def do_POST(self):
                    body = answer(self.rfile.read(int(self.headers["Content-Length"])))
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, *words):
                    pass

            server = stack.enter_context(Crowded(("127.0.0.1", 0), Handler))
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return server

        yield start


@pytest.fixture
def loaded():
    """One load with plausible figures; any may be given."""

    def make(load="closed-64", **figures):
        plausible = {"offered": 100, "ok": 100, "not_ok": 0, "ok_per_s": 1000.0, "p50_ms": 1.0}
        plausible |= {"p99_ms": 5.0, "cpu_us": 50.0, "foreign_share": 0.0}
        return Loaded(load=load, **(plausible | figures))

    return make


@pytest.fixture
def results():
    """What a run has seen: visits are given."""

    def make(*visits, **fields):
        machine = {"cores": 2, "cpu": "a CPU", "memory_gib": 8.0, "kernel": "6.1"}
        settings = {"rounds": 1, "closed_s": 1, "open_s": 2, "seed": 3}
        plausible = {"date": "today", "command": "make bench-peers", "commit": "abc"}
        plausible |= {"machine": machine, "versions": {"litserve": "1.0"}, "settings": settings}
        return Results(visits=list(visits), **({"complete": True} | plausible | fields))

    return make


@pytest.fixture
def seen():
    """One visit with one load, or with a failure."""

    def make(peer, row="default", **fields):
        plausible = {"model": "mlp", "round": 1, "start_s": 1.0, "memory_mib": 100.0}
        return Visit(peer=peer, row=row, **(plausible | fields))

    return make
