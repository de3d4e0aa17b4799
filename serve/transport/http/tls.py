"""The TLS context of a listener, with errors that say which file is wrong."""

from __future__ import annotations

import ssl
from pathlib import Path

__all__ = ["tls_context"]


def tls_context(cert: Path, key: Path) -> ssl.SSLContext:
    """A server context for TLS 1.2 and later; blocks while the files are read.

    Raises:
        OSError: a file is missing, unreadable or not what it should be; names flag and remedy.
    """
    for flag, path in (("--tls-cert", cert), ("--tls-key", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise OSError(f"{flag} {path}: {error.strerror or error}") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # A password would be asked for on the terminal, and a server has none.
        context.load_cert_chain(cert, key, password=lambda: b"")
    except ssl.SSLError as error:
        raise OSError(
            f"--tls-cert {cert}, --tls-key {key}: not a PEM certificate chain and its"
            f" unencrypted private key ({error.reason or error})"
        ) from None
    return context
