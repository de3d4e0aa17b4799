"""What a replica reserves, and what no node has."""

from __future__ import annotations

from typing import Any

import pytest

from serve.config import Resources
from serve.executors.ray.placement import actor_options, unmet

NODE = {"CPU": 8.0, "GPU": 1.0, "memory": 16e9, "accelerator_type:L4": 1.0, "disk": 2.0}
PLAIN = {"CPU": 32.0, "memory": 64e9}


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({}, {"num_cpus": 1.0, "num_gpus": 0.0}),
        ({"device": "cuda:0"}, {"num_cpus": 1.0, "num_gpus": 1.0}),
        ({"device": "cuda", "gpus": 0.25, "cpus": 0}, {"num_cpus": 0, "num_gpus": 0.25}),
        (
            {"accelerator_type": "L4", "memory_mb": 500, "custom": {"disk": 1}},
            {
                "num_cpus": 1.0,
                "num_gpus": 0.0,
                "accelerator_type": "L4",
                "memory": 500_000_000,
                "resources": {"disk": 1},
            },
        ),
    ],
)
def test_settings_become_options_of_ray(settings: dict[str, Any], options: dict[str, Any]) -> None:
    assert actor_options(Resources.model_validate(settings), 1.0) == options


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, ""),
        ({"cpus": 32}, ""),
        ({"gpus": 1, "accelerator_type": "L4"}, ""),
        ({"custom": {"disk": 2}}, ""),
        ({"gpus": 4}, "4 GPU, at most 1 GPU on one"),
        ({"accelerator_type": "H100"}, "an accelerator of type H100"),
        ({"memory_mb": 100_000}, "100000 MB of memory, at most 64000 MB of memory on one"),
        ({"custom": {"tape": 1}}, "1 tape, at most 0 tape on one"),
        ({"gpus": 1, "cpus": 16}, "at once: 16 CPU, 1 GPU"),
    ],
)
def test_what_no_node_has_is_named(settings: dict[str, Any], problem: str) -> None:
    options = actor_options(Resources.model_validate(settings), 1.0)
    said = unmet(options, [NODE, PLAIN])
    assert said.endswith(problem) if problem else said == ""


def test_without_a_node_everything_is_lacking() -> None:
    assert "1 CPU" in unmet({"num_cpus": 1, "num_gpus": 0}, [])
