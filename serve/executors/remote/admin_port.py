"""An engine's admin port: ``/metrics`` and ``/healthz`` over plain HTTP, in threads of its own.

Batches have a loop of their own, which nobody who scrapes can hold up.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from serve.errors import Unavailable

__all__ = ["AdminPort"]

WORKERS = 4
DEADLINE_S = 10.0
"""For a client to say what it wants and to take it, however slowly it goes about that."""
TEXT = "text/plain; version=0.0.4; charset=utf-8"

_Request = socket.socket | tuple[bytes, socket.socket]
"""As socketserver has it; here it is a socket."""


class _Server(HTTPServer):
    """Answers a bounded number of clients at once; the others wait to be accepted."""

    def __init__(
        self, address: tuple[str, int], page: Callable[[], bytes], health: Callable[[], None]
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.page = page
        self.health = health
        self._free = threading.Semaphore(WORKERS)
        self._work = ThreadPoolExecutor(WORKERS, thread_name_prefix="engine-admin")
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """As the class above, but without asking for the host's name, which may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: _Request, client_address: Any) -> None:
        """socketserver: a client has connected."""
        self._free.acquire()
        self._work.submit(self._answer, request, client_address)

    def _answer(self, request: _Request, client_address: Any) -> None:
        assert isinstance(request, socket.socket)
        late = threading.Timer(DEADLINE_S, _hang_up, (request,))
        late.daemon = True
        late.start()
        try:
            _Handler(request, client_address, self)
        except OSError:
            pass  # the client has gone, or was too slow
        finally:
            late.cancel()
            self.shutdown_request(request)
            self._free.release()

    def server_close(self) -> None:
        super().server_close()
        self._work.shutdown(wait=False)


class _Handler(BaseHTTPRequestHandler):
    """One request a connection."""

    server: _Server

    def do_GET(self) -> None:
        """http.server: a GET has come."""
        path = self.path.partition("?")[0]
        try:
            if path == "/metrics":
                self._reply(200, self.server.page())
            elif path == "/healthz":
                self.server.health()
                self._reply(200, b"ok\n")
            else:
                self._reply(404, b"there are /metrics and /healthz here\n")
        except Unavailable as error:
            self._reply(503, f"{error}\n".encode())

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", TEXT)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are not logged."""


def _hang_up(request: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended meanwhile
        request.shutdown(socket.SHUT_RDWR)


class AdminPort:
    """Listens once made; ``port`` is the one that it got.

    ``page`` gives the metrics; ``health`` raises Unavailable if the engine is not well. Both are
    called in threads of this port.

    Raises:
        OSError: the address cannot be listened on.
    """

    def __init__(
        self, host: str, port: int, page: Callable[[], bytes], health: Callable[[], None]
    ) -> None:
        self._server = _Server((host, port), page, health)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="engine-admin", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Take no more requests."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
