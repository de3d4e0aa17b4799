"""Which candidates there are: the combinations of the steps' alternatives, in order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from optimize.errors import OptimizeError
from optimize.settings import OptimizeSettings, parse_settings
from optimize.steps import STEPS, Compile, Step
from serve.backends.threads import available_cores
from serve.config import ModelConfig
from serve.repository.model_yaml import read_model_yaml

__all__ = ["DEFAULT_STEPS", "Candidate", "candidates", "parse_stages", "plan_of"]

DEFAULT_STEPS: tuple[Any, ...] = (
    "clean",
    {
        "choose": [
            "none",
            {"quantize-dynamic": {"reduce_range": [False, True]}},
            {"quantize-dynamic": {"keep": ["auto"]}},
            "quantize-static",
        ]
    },
    {"choose": ["none", "compile"]},
)

Stage = tuple[Step | None, ...]
"""Alternatives for one place in the pipeline; None leaves the artefact as it is."""


@dataclass(frozen=True)
class Candidate:
    """Steps applied to the exported graph one after another, and threads to run it with."""

    steps: tuple[Step, ...]
    threads: int
    graph_level: str = "all"

    @property
    def lossy(self) -> bool:
        """Whether any step changes answers by more than rounding."""
        return any(step.lossy for step in self.steps)

    @property
    def artefact_name(self) -> str:
        """What it is made by, for people."""
        return " → ".join(["export", *(step.label() for step in self.steps)])

    @property
    def name(self) -> str:
        """The same with how it is run."""
        level = f", graph level {self.graph_level}" if self.graph_level != "all" else ""
        return f"{self.artefact_name}, {self.threads} thread{'s' * (self.threads > 1)}{level}"


def plan_of(folder: Path) -> tuple[OptimizeSettings, ModelConfig, list[Candidate]]:
    """What would be done to the model in ``folder``.

    Raises:
        OptimizeError: its settings are wrong.
        RepositoryError: its model.yaml cannot be read.
    """
    path = folder / "model.yaml"
    if not path.is_file():
        raise OptimizeError(
            step="settings", problem=f"there is no {path}", remedy="give a model's own folder"
        )
    config = read_model_yaml(path)
    settings = parse_settings(config.optimize, path)
    cores = available_cores()
    threads = sorted({min(count, cores) for count in settings.target.threads})
    if config.resources.intra_op_threads is not None:
        # What model.yaml sets is what will be served, so nothing else is worth measuring.
        threads = [config.resources.intra_op_threads]
    stages: Sequence[Stage] = parse_stages(settings.steps)
    _need_lessons(settings, stages)
    levels: Sequence[str] = settings.target.graph_levels
    if config.resources.graph_optimization is not None:
        levels = [config.resources.graph_optimization]
    return settings, config, candidates(stages, threads, levels)


def parse_stages(steps: Sequence[Any] | None) -> list[Stage]:
    """The stages of ``optimize.steps``; the default ones if it is None.

    Raises:
        OptimizeError: no such step, or a parameter is wrong.
    """
    stages: list[Stage] = []
    for entry in DEFAULT_STEPS if steps is None else steps:
        if isinstance(entry, dict) and list(entry) == ["choose"]:
            stages.append(tuple(step for item in entry["choose"] for step in _parse(item)))
        else:
            stages.append(tuple(_parse(entry)))
    return stages


def candidates(
    stages: Sequence[Stage], threads: Sequence[int], graph_levels: Sequence[str] = ("all",)
) -> list[Candidate]:
    """Every combination, the simplest first: those that lose nothing, with the fewest steps."""
    found = [
        Candidate(steps, count, level)
        for alternatives in itertools.product(*stages)
        for steps in [tuple(step for step in alternatives if step is not None)]
        for count in threads
        for level in _levels(steps, graph_levels)
    ]
    return sorted(dict.fromkeys(found), key=lambda each: (each.lossy, len(each.steps)))


def _need_lessons(settings: OptimizeSettings, stages: Sequence[Stage]) -> None:
    first, *others = [
        any(step is not None and step.learns for step in stage) for stage in stages or [()]
    ]
    if any(others):
        raise OptimizeError(
            step="plan",
            problem="optimize.steps: distil comes after a step whose work it would throw away",
            remedy="put it into the first stage",
        )
    if first and not (settings.data.training or settings.data.transfer):
        raise OptimizeError(
            step="plan",
            problem="distil has no rows to learn from: those of optimize.data.evaluation are kept"
            " to judge by",
            remedy="set optimize.data.training (with a target) or optimize.data.transfer",
        )


def _levels(steps: Sequence[Step], graph_levels: Sequence[str]) -> list[str]:
    """How far the runtime may rewrite such a graph at load: `off` pays only once it is compiled."""
    compiled = any(step.kind == Compile.kind for step in steps)
    return [level for level in graph_levels if level != "off" or compiled] or list(graph_levels)


def _parse(entry: Any) -> Iterator[Step | None]:
    """One step, or several where a parameter is a list of values to try."""
    name: Any = entry
    parameters: Any = {}
    if isinstance(entry, dict) and len(entry) == 1:
        ((name, parameters),) = entry.items()
    if name == "none":
        yield None
        return
    if not isinstance(name, str) or name not in STEPS or not isinstance(parameters or {}, dict):
        raise OptimizeError(
            step="plan",
            problem=f"optimize.steps: {str(entry)[:80]!r} is no step",
            remedy=f"there are: none, choose, {', '.join(sorted(STEPS))}",
        )
    kind = STEPS[name]
    names = list(parameters or {})
    axes = [_values(kind, key, value) for key, value in (parameters or {}).items()]
    for values in itertools.product(*axes):
        try:
            yield kind.model_validate(dict(zip(names, values, strict=True)))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(map(str, first["loc"]))
            raise OptimizeError(
                step="plan",
                problem=f"optimize.steps: {name}: {field}: {first['msg']}",
                remedy=f"its parameters are: {', '.join(kind.model_fields)}",
            ) from error


def _values(kind: type[Step], name: str, value: Any) -> list[Any]:
    """What to try for a parameter: a list is one value only where the parameter itself is one."""
    field = kind.model_fields.get(name)
    takes_list = field is not None and "tuple" in str(field.annotation)
    if takes_list:
        nested = isinstance(value, list) and any(isinstance(item, list) for item in value)
        return value if nested else [value if isinstance(value, list) else [value]]
    return value if isinstance(value, list) else [value]
