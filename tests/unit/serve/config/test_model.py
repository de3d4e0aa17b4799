"""Settings of a model: every field is described, and what contradicts itself is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from serve.config import ModelConfig


def groups(kind: type[BaseModel]) -> list[type[BaseModel]]:
    inner = [field.annotation for field in kind.model_fields.values()]
    found = [item for item in inner if isinstance(item, type) and issubclass(item, BaseModel)]
    return [kind, *(group for item in found for group in groups(item))]


@pytest.mark.parametrize("kind", groups(ModelConfig))
def test_every_field_is_described(kind: type[BaseModel]) -> None:
    assert [name for name, field in kind.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    "settings",
    [
        {"batching": {"max_batch_size": 8, "preferred_batch_sizes": [9]}},
        {"batching": {"preferred_batch_sizes": [0]}},
        {"versions": {"policy": "specific"}},
        {"versions": {"policy": "latest", "numbers": [1]}},
        {"inputs": {"x": {"range": [2, 1]}}},
        {"inputs": {"x": {"range": [float("nan"), None]}}},
        {"resources": {"device": "cuda:x"}},
        {"autoscaling": {"min_replicas": 3, "max_replicas": 2}},
        {"autoscaling": {"min_replicas": -1}},
        {"autoscaling": {"max_replicas": 0}},
        {"slo": {"timeout_ms": float("inf")}},
    ],
)
def test_settings_that_contradict_themselves_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelConfig.model_validate(settings)


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        ({}, 1),
        ({"min_replicas": 0}, 1),
        ({"min_replicas": 3}, 3),
        ({"min_replicas": 0, "max_replicas": 4}, 4),
    ],
)
def test_most_replicas_are_as_many_as_the_fewest_unless_told(
    settings: dict[str, Any], most: int
) -> None:
    assert ModelConfig(autoscaling=settings).autoscaling.most == most  # type: ignore[arg-type]


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        ModelConfig().owner = "me"  # type: ignore[misc]


@pytest.mark.parametrize("label", ["stable", "v4", "a" * 64, "A.b-c_1"])
def test_label_begins_with_a_letter(label: str) -> None:
    assert ModelConfig(labels={label: 3}).labels == {label: 3}


@pytest.mark.parametrize("label", ["", "4", 4, "4th", "-a", "a b", "a/b", "é", "a" * 65, "a\n"])
def test_what_could_be_taken_for_a_version_is_no_label(label: Any) -> None:
    with pytest.raises(ValidationError, match="is no label"):
        ModelConfig(labels={label: 3})


def test_label_stands_for_a_version() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        ModelConfig(labels={"stable": 0})
