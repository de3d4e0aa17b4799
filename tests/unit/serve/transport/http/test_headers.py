"""Header values that are taken from a client into answers and logs."""

import pytest

from serve.transport.http.headers import KNOWN, request_id, traceparent

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_known_headers_are_lower_case():
    assert all(name == name.lower() for name in KNOWN)


@pytest.mark.parametrize("value", [b"a", b"a b", b"~" * 128])
def test_request_id_is_taken(value):
    assert request_id({b"x-request-id": value}) == value


@pytest.mark.parametrize("value", [b"", b" a", b"a ", b"a\tb", b"a\x80", b"~" * 129])
def test_request_id_is_dropped(value):
    assert request_id({b"x-request-id": value}) == b""


@pytest.mark.parametrize("value", [TRACE, TRACE.replace(b"00-", b"cc-") + b"-future"])
def test_traceparent_is_taken(value):
    assert traceparent({b"traceparent": value}) == value.decode()


@pytest.mark.parametrize("value", [b"", TRACE[:-1], TRACE.upper(), TRACE + b"\n", TRACE + b"x"])
def test_traceparent_is_dropped(value):
    assert traceparent({b"traceparent": value}) == ""
