"""The port: where it is, how it is secured, and what connections to it may do."""

from __future__ import annotations

import ssl

import grpc

from serve.config import GrpcSettings

__all__ = ["bind", "channel_options"]

PROBES = 64
"""Streams of a connection beside its inference calls, so that those at their limit are told so."""


def channel_options(settings: GrpcSettings, share_port: bool = False) -> list[tuple[str, int]]:
    """Options of grpc's core for every connection."""
    return [
        # A message that would never fit need not be received first.
        (
            "grpc.max_receive_message_length",
            min(settings.max_message_bytes, settings.max_inflight_bytes),
        ),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_concurrent_streams", settings.max_concurrent_rpcs + PROBES),
        # Only if asked for: with it, a second server would share the clients of a first in silence.
        ("grpc.so_reuseport", int(share_port)),
        # A client that vanished without a word is noticed after a minute and a third ...
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # ... and one that looks after us may ask every five seconds, calls under way or not.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ]


def bind(server: grpc.aio.Server, settings: GrpcSettings) -> int:
    """Bind the address of the settings, with TLS if they ask for it; the port bound.

    Raises:
        OSError: the address cannot be bound, or the certificate cannot be used.
    """
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{settings.port}"
    credentials = _credentials(settings)
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError:
        port = 0
    if port == 0:
        raise OSError(
            f"{address}: cannot listen there for gRPC; choose a free port with --grpc-port"
            " (0: any), or an address of this machine with --host"
        )
    return int(port)


def _credentials(settings: GrpcSettings) -> grpc.ServerCredentials | None:
    certificate, key = settings.tls_cert, settings.tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise OSError("--tls-cert and --tls-key go together: give both or neither")
    try:
        # grpc would say no more than that it cannot bind the port.
        # The password, because a terminal would be asked for one, and a server has none.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, password=lambda: b"")
        return grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    except OSError as error:
        raise OSError(
            f"--tls-cert {certificate}, --tls-key {key}: not a readable PEM certificate"
            f" chain and its unencrypted private key ({error})"
        ) from error
