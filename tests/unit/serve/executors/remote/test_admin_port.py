"""An engine's admin port: what it answers, and clients that are a nuisance."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from serve.errors import Unavailable
from serve.executors.remote import admin_port
from serve.executors.remote.admin_port import WORKERS, AdminPort


def nothing() -> None:
    """Healthy."""


@contextmanager
def a_port(page=lambda: b"up 1\n", health=nothing) -> Iterator[AdminPort]:
    port = AdminPort("127.0.0.1", 0, page, health)
    try:
        yield port
    finally:
        port.close()


def ask(port: AdminPort, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port.port, timeout=30)
    connection.request(method, path)
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, body


def test_metrics_are_the_page_of_now():
    pages = iter([b"a 1\n", b"a 2\n"])
    with a_port(lambda: next(pages)) as port:
        assert [ask(port, "/metrics"), ask(port, "/metrics?x=1")] == [
            (200, b"a 1\n"),
            (200, b"a 2\n"),
        ]


def test_health_tells_why_the_engine_is_not_well():
    def health() -> None:
        raise Unavailable("a batch has been running for 12 s")

    with a_port() as port:
        assert ask(port, "/healthz") == (200, b"ok\n")
    with a_port(health=health) as port:
        assert ask(port, "/healthz") == (503, b"a batch has been running for 12 s\n")


def test_nothing_else_is_there():
    with a_port() as port:
        assert ask(port, "/v2/models/m/infer")[0] == 404
        assert ask(port, "/metrics", "POST")[0] == 501


def test_engine_that_has_ended_is_unavailable():
    def page() -> bytes:
        raise Unavailable("the engine is not running")

    with a_port(page) as port:
        assert ask(port, "/metrics") == (503, b"the engine is not running\n")


def test_silent_clients_do_not_keep_scrapers_out(monkeypatch):
    monkeypatch.setattr(admin_port, "DEADLINE_S", 0.2)
    with a_port() as port:
        silent = [socket.create_connection(("127.0.0.1", port.port)) for _ in range(2 * WORKERS)]
        assert ask(port, "/metrics") == (200, b"up 1\n")
        for connection in silent:
            connection.close()


def test_client_that_drips_is_hung_up_on(monkeypatch):
    monkeypatch.setattr(admin_port, "DEADLINE_S", 0.3)
    with a_port() as port, socket.create_connection(("127.0.0.1", port.port)) as client:
        client.settimeout(0.02)
        client.sendall(b"GET /metrics HTTP/1.1\r\n")
        ended = False
        while not ended:
            try:
                client.sendall(b"X: y\r\n")
                ended = client.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True


def test_taken_port_is_an_error():
    with a_port() as port, pytest.raises(OSError, match="in use"):
        AdminPort("127.0.0.1", port.port, lambda: b"", nothing)


def test_closed_port_takes_no_more():
    with a_port() as port:
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port.port))
