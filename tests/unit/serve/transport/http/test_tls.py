"""Errors of certificate and key files name the flag and the problem."""

import ssl

import pytest

from serve.transport.http.tls import tls_context
from tests.support.http import TLS_CERT as CERT
from tests.support.http import TLS_KEY as KEY


def test_tls_context_is_for_1_2_and_later():
    assert tls_context(CERT, KEY).minimum_version == ssl.TLSVersion.TLSv1_2


def test_tls_context_names_the_missing_file(tmp_path):
    with pytest.raises(OSError, match=r"--tls-key .*none\.pem: No such file"):
        tls_context(CERT, tmp_path / "none.pem")


@pytest.mark.parametrize(("cert", "key"), [(KEY, KEY), (CERT, CERT), (KEY, CERT)])
def test_tls_context_says_what_files_it_takes(cert, key):
    with pytest.raises(OSError, match="not a PEM certificate chain"):
        tls_context(cert, key)
