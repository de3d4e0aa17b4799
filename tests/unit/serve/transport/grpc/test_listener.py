"""Options of the port, and what may be wrong with it. Binding itself is in test_server."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from serve.config import GrpcSettings
from serve.transport.grpc.listener import bind, channel_options


def test_message_that_would_never_fit_is_not_received() -> None:
    settings = GrpcSettings(max_message_bytes=1 << 20, max_inflight_bytes=1 << 16)
    options = dict(channel_options(settings))
    assert options["grpc.max_receive_message_length"] == 1 << 16
    assert options["grpc.max_send_message_length"] == 1 << 20


def test_streams_of_a_connection_leave_room_for_probes() -> None:
    options = dict(channel_options(GrpcSettings(max_concurrent_rpcs=2)))
    assert options["grpc.max_concurrent_streams"] > 2


async def test_address_that_is_not_here_is_named() -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1:0.*--host"):
        bind(grpc.aio.server(), GrpcSettings(host="192.0.2.1", port=0))


async def test_files_that_are_no_certificate_are_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("no certificate")
    settings = GrpcSettings(port=0, tls_cert=tmp_path / "a", tls_key=tmp_path / "a")
    with pytest.raises(OSError, match="--tls-key"):
        bind(grpc.aio.server(), settings)
