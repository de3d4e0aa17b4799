from __future__ import annotations

import pytest
from pydantic import ValidationError

from serve.config import ModelConfig
from serve.config.source import RegistryReference, parse_reference


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("models:/fraud@champion", RegistryReference("fraud", alias="champion")),
        ("models:/card fraud/12", RegistryReference("card fraud", number=12)),
    ],
)
def test_reference_is_taken_apart_and_written_again(
    text: str, reference: RegistryReference
) -> None:
    assert parse_reference(text) == reference
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    [
        "fraud",
        "models:/fraud",
        "models:/fraud/latest",
        "models:/fraud/0",
        "models:/fraud/03",
        "models:/fraud/Production",
        "models:/@champion",
        "models:/fraud@",
        "models:/a/b@champion",
        "models:/../../etc@champion",
        "models:/fraud\n@champion",
        "models://host/fraud@champion",
        "runs:/0a1b/model",
    ],
)
def test_other_references_are_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValidationError, match="write models:/NAME@ALIAS"):
        ModelConfig(source=text)
