"""Errors of settings: which field, what is wrong, what to do; in the terms of the file read."""

from __future__ import annotations

from typing import Any

import pytest

from serve.config import ModelConfig
from serve.errors import RepositoryError
from serve.repository.validation import validate


def error(data: dict[str, Any]) -> RepositoryError:
    with pytest.raises(RepositoryError) as caught:
        validate(data, "model.yaml")
    return caught.value


def test_good_settings_are_settings() -> None:
    assert validate({}, "model.yaml") == ModelConfig()


@pytest.mark.parametrize(
    ("data", "field", "says"),
    [
        ({"batchin": {}}, "batchin", "did you mean `batching`?"),
        ({"latency_ms": 5}, "latency_ms", "did you mean `slo.latency_ms`?"),
        ({"zzz": 1}, "zzz", "the fields here are owner"),
        ({"owner": 5}, "owner", "put the value in quotes"),
        ({"batching": {"max_batch_size": "many"}}, "batching.max_batch_size", 'is "many"'),
        ({"inputs": {"a.b": {"default": []}}}, "inputs.a.b.default", "is []"),
        ({"slo": 3}, "slo", "is 3"),
    ],
)
def test_error_names_field_value_and_remedy(data: dict[str, Any], field: str, says: str) -> None:
    found = error(data)
    assert found.field == field
    assert says in str(found)


def test_all_wrong_fields_are_told_at_once_up_to_a_few() -> None:
    assert "owner: should be" in str(error({"backend": "x", "owner": 5}))
    assert "and 3 more" in str(error({f"field{index}": 1 for index in range(11)}))


def test_field_is_named_as_in_the_file() -> None:
    with pytest.raises(RepositoryError) as caught:
        validate({"backend": "x"}, "config.pbtxt", lambda field: f"triton.{field}")
    assert caught.value.field == "triton.backend"


def test_message_is_one_short_line_whatever_the_value() -> None:
    text = str(error({"backend": "a\nb\x1b" + "c" * 10_000}))
    assert text.isprintable()
    assert len(text) < 500
