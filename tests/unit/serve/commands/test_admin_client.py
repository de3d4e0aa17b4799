"""What is said of an address where no server, or another one, answers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from serve.commands.admin_client import Refused, ask


@contextmanager
def a_server(answer: bytes, heard: list[bytes] | None = None) -> Iterator[str]:
    """Gives ``answer`` to the first who asks; the block has its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                received = connection.recv(4096)
                if heard is not None:
                    heard.append(received)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(30)


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("form", ["{}", "http://{}", "http://{}/"])
def test_answer_is_read(form):
    with a_server(http(json.dumps({"a": 1}).encode())) as address:
        assert ask(form.format(address), "/status", dict[str, int]) == {"a": 1}


def test_proxies_of_the_environment_are_not_asked(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with a_server(http(b"[]")) as address:
        assert ask(address, "/status", list[int]) == []


def test_nobody_there_is_said_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    expected = rf"no server answers at http://127.0.0.1:{port} \(Connection refused\): .*--admin"
    with pytest.raises(ConnectionError, match=expected):
        ask(f"127.0.0.1:{port}", "/status", dict[str, int])


def test_silence_is_nobody():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(ConnectionError, match=r"\(timed out\)"),
    ):
        ask(f"127.0.0.1:{listener.getsockname()[1]}", "/status", dict[str, int], 0.1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(b"{}", "404 Not Found"), "it answers /status with status 404"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "it does not speak HTTP"),
        (http(b"<html>"), "its answer to /status: JSON is malformed"),
        (http(b'{"a": "b"}'), r"its answer to /status: Expected `int`, got `str`"),
    ],
)
def test_stranger_is_told_from_a_server(answer, said):
    with a_server(answer) as address, pytest.raises(ValueError, match=f"not the admin.*{said}"):
        ask(address, "/status", dict[str, int])


@pytest.mark.parametrize("admin", ["", "http://", "ftp://h:1", "h:port", "http://h:99999", "h:0"])
def test_what_is_no_address_names_the_flag(admin):
    with pytest.raises(ValueError, match="--admin should be a URL or host:port"):
        ask(admin, "/status", dict[str, int])


def test_what_the_server_says_is_told():
    body = b'{"error": "traffic.split: a weight at least should be above 0"}'
    with a_server(http(body, "400 Bad Request")) as address, pytest.raises(Refused) as raised:
        ask(address, "/models/m/split", dict, method="PUT", body={"split": {}})
    assert str(raised.value) == "traffic.split: a weight at least should be above 0"


def test_redirect_is_not_followed():
    head = "307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/"
    with a_server(http(b"", head)) as address, pytest.raises(ValueError, match="status 307"):
        ask(address, "/status", dict[str, int], key="a-secret")


def test_change_says_who_asks_and_with_which_key():
    heard: list[bytes] = []
    with a_server(http(b"{}"), heard) as address:
        ask(address, "/models/m/rollback", dict, method="POST", body={"why": "x"}, key="a-secret")
    head, _, body = heard[0].partition(b"\r\n\r\n")
    lines = {line.lower() for line in head.decode().split("\r\n")}
    assert head.startswith(b"POST /models/m/rollback HTTP/1.1\r\n")
    assert {"authorization: bearer a-secret", "content-type: application/json"} <= lines
    assert any(line.startswith("penstock-user: ") for line in lines)
    assert body in (b"", b'{"why":"x"}')  # it may come in a packet of its own
