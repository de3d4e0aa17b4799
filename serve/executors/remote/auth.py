"""Proof of a shared secret, without sending it: HMAC-SHA256 over what both sides made up.

Each side proves itself with a word of its own in the message, so that no proof can be sent back
to the one who gave it. A proof vouches for who opens a connection; it does not hide what is sent
afterwards, nor keep somebody on the path from changing it: TLS does.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256

from serve.executors.remote.wire import PROTOCOL_VERSION

__all__ = ["MIN_SECRET_BYTES", "engine_proof", "gateway_proof", "new_nonce", "same"]

MIN_SECRET_BYTES = 16


def new_nonce() -> bytes:
    """32 bytes that nobody can guess."""
    return secrets.token_bytes(32)


def gateway_proof(secret: bytes, engine_nonce: bytes, gateway_nonce: bytes) -> bytes:
    """What a gateway answers to an engine's nonce."""
    return _proof(b"gateway", secret, engine_nonce, gateway_nonce)


def engine_proof(secret: bytes, engine_nonce: bytes, gateway_nonce: bytes) -> bytes:
    """What an engine answers to a gateway's nonce."""
    return _proof(b"engine", secret, engine_nonce, gateway_nonce)


def same(given: bytes, wanted: bytes) -> bool:
    """Compare in a time that does not tell how much of it was right."""
    return hmac.compare_digest(given, wanted)


def _proof(role: bytes, secret: bytes, engine_nonce: bytes, gateway_nonce: bytes) -> bytes:
    message = b"penstock batches %d %s " % (PROTOCOL_VERSION, role)
    return hmac.new(secret, message + engine_nonce + gateway_nonce, sha256).digest()
