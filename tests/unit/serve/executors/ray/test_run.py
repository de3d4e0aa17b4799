"""The ports that gateways share are chosen, and found to be free, before any is started."""

from __future__ import annotations

import socket

import pytest

from serve.config import AdminSettings, GrpcSettings, HttpSettings, ServerSettings
from serve.executors.ray.run import _with_ports


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
    chosen = ports(_with_ports(settings(0, 0, 0), check=check))
    assert 0 not in chosen
    assert len(set(chosen)) == 3


def test_listener_that_is_not_wanted_gets_no_port() -> None:
    given = settings(0, 0, 0).model_copy(update={"grpc": None})
    assert _with_ports(given, check=True).grpc is None


def test_port_that_is_taken_is_named_with_the_flag_for_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(OSError, match=rf"127\.0\.0\.1:{taken}: .*--grpc-port"):
            _with_ports(settings(0, taken, 0), check=True)


def test_port_that_is_taken_here_may_be_free_on_the_nodes_of_a_cluster() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        assert ports(_with_ports(settings(0, taken, 0), check=False))[1] == taken
