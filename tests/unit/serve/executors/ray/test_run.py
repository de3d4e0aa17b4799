"""The ports that gateways share are chosen, and found to be free, before any is started."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from serve.config import AdminSettings, GrpcSettings, HttpSettings, ServerSettings
from serve.executors.ray.run import _with_paths, _with_ports


def settings(http: int, grpc: int, admin: int) -> ServerSettings:
    return ServerSettings(
        http=HttpSettings(host="127.0.0.1", port=http),
        grpc=GrpcSettings(host="127.0.0.1", port=grpc),
        admin=AdminSettings(port=admin),
    )


def ports(given: ServerSettings) -> list[int]:
    return [each.port for each in (given.http, given.grpc, given.admin) if each is not None]


@pytest.mark.parametrize("check", [True, False])
def test_ports_left_open_are_chosen(check: bool) -> None:
    chosen = ports(_with_ports(settings(0, 0, 0), 0, check=check))
    assert 0 not in chosen
    assert len(set(chosen)) == 3


def test_listener_that_is_not_wanted_gets_no_port() -> None:
    given = settings(0, 0, 0).model_copy(update={"grpc": None})
    assert _with_ports(given, 0, check=True).grpc is None


def test_port_that_is_taken_is_named_with_the_flag_for_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(OSError, match=rf"127\.0\.0\.1:{taken}: .*--grpc-port"):
            _with_ports(settings(0, taken, 0), 0, check=True)


def test_port_that_is_taken_here_may_be_free_on_the_nodes_of_a_cluster() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        assert ports(_with_ports(settings(0, taken, 0), 0, check=False))[1] == taken


def test_admin_port_of_every_gateway_must_be_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        # Another process may have the port before it.
        with pytest.raises(OSError, match=rf"127\.0\.0\.1:({taken - 1}|{taken}): .*--admin-port"):
            _with_ports(settings(0, 0, taken - 1), 2, check=True)


def test_admin_port_of_a_gateway_is_not_the_port_of_clients() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        free = other.getsockname()[1]
    with pytest.raises(OSError, match=rf":({free - 1}|{free}): .*--admin-port"):
        _with_ports(settings(free, 0, free - 1), 2, check=True)


def test_there_are_no_ports_beyond_the_last() -> None:
    with pytest.raises(OSError, match=r"65536: .*65535.*--admin-port"):
        _with_ports(settings(0, 0, 65535), 2, check=True)


def test_admin_ports_left_open_are_free_one_after_another() -> None:
    given = _with_ports(settings(0, 0, 0), 4, check=True)
    assert given.admin is not None
    with ExitStack() as held:
        for rank in range(4):
            held.enter_context(socket.create_server(("127.0.0.1", given.admin.port + rank)))


def test_file_of_keys_is_found_from_any_folder() -> None:
    admin = AdminSettings(keys_file=Path("keys.yaml"))
    found = _with_paths(ServerSettings(admin=admin)).admin
    assert found is not None
    assert found.keys_file == Path.cwd() / "keys.yaml"
    assert _with_paths(settings(0, 0, 0)) == settings(0, 0, 0)
    assert _with_paths(ServerSettings(admin=None)).admin is None
