"""Settings of the server: every field is described, and the defaults go together."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from serve.config import AdminSettings, GrpcSettings, HttpSettings, ServerSettings


@pytest.mark.parametrize("kind", [AdminSettings, GrpcSettings, HttpSettings, ServerSettings])
def test_every_field_is_described(kind: type[BaseModel]) -> None:
    assert [name for name, field in kind.model_fields.items() if not field.description] == []


def test_admin_port_is_on_loopback_unless_told_otherwise() -> None:
    assert AdminSettings().host == "127.0.0.1"


def test_largest_message_fits_into_what_may_be_held() -> None:
    assert HttpSettings().max_body_bytes <= HttpSettings().max_inflight_bytes
    assert GrpcSettings().max_message_bytes <= GrpcSettings().max_inflight_bytes


def test_certificate_without_a_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="both or neither"):
        HttpSettings.model_validate({"tls_cert": "cert.pem"})
