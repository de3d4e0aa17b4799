"""An address at which there is no cluster is told at once. Starting one is in ``tests/ray``."""

from __future__ import annotations

import socket

import pytest

from serve.executors.ray.cluster import connected

pytest.importorskip("ray")


def test_address_where_nobody_listens_is_named_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        free = other.getsockname()[1]
    with (
        pytest.raises(ConnectionError, match=rf"at 127\.0\.0\.1:{free} .*refused.*ray start"),
        connected(f"127.0.0.1:{free}"),
    ):
        pass


@pytest.mark.parametrize("address", ["models", "10.0.0.1", ":6379", "host:port", "host:65536"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=f"host:port.*is {address}$"), connected(address):
        pass
