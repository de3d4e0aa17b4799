from __future__ import annotations

from serve.executors.remote import auth


def test_proof_is_of_the_secret_and_both_nonces() -> None:
    ours, theirs = auth.new_nonce(), auth.new_nonce()
    proof = auth.gateway_proof(b"secret", ours, theirs)
    assert auth.same(proof, auth.gateway_proof(b"secret", ours, theirs))
    for other in (
        auth.gateway_proof(b"Secret", ours, theirs),
        auth.gateway_proof(b"secret", theirs, ours),
        auth.gateway_proof(b"secret", auth.new_nonce(), theirs),
        auth.engine_proof(b"secret", ours, theirs),
    ):
        assert not auth.same(proof, other)
