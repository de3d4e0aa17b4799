"""``optimize:`` in ``model.yaml``, as frozen groups; the descriptions are the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from optimize.errors import OptimizeError
from serve.config.base import Settings
from serve.config.model import GraphOptimization

__all__ = ["Data", "Gates", "OptimizeSettings", "Search", "StepLimits", "Target", "parse_settings"]


class Data(Settings):
    """Rows that the original and the candidates are compared on."""

    evaluation: str = Field(
        description="A .csv, .parquet or .npz file, or `file.py:function` that returns the"
        " features and the target of rows the model was not trained on."
    )
    target: str = Field("target", description="Column (or array) of a file that is the target.")
    training: str | None = Field(
        None,
        description="The same of other rows, from which `distil` trains students: best those that"
        " the original was trained on.",
    )
    transfer: str | None = Field(
        None,
        description="Further rows for `distil`, features only: the original says what they are.",
    )


class Target(Settings):
    """The machine that will serve."""

    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="What candidates are made for, verified and measured on."
    )
    threads: tuple[int, ...] = Field((1, 2), description="Threads in one batch to try.")
    batch_sizes: tuple[int, ...] = Field((1, 8, 64), description="Rows to measure latency at.")
    shapes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (),
        description="Lengths of rows to measure at, where an input varies in length (of a text: in"
        " tokens). Default: the median and the 95th percentile of the evaluation rows.",
    )
    graph_levels: tuple[GraphOptimization, ...] = Field(
        ("off", "all"),
        description="How far the runtime rewrites the graph at load, to try; off only where it is"
        " compiled.",
    )


METRIC_DROP = 0.005


class Gates(Settings):
    """What a candidate must hold to be packaged."""

    atol: float = Field(1e-5, ge=0, description="Largest absolute difference, if not lossy.")
    rtol: float = Field(1e-4, ge=0, description="Largest relative difference on top of it.")
    max_flip_rate: float = Field(
        0.0, ge=0, le=1, description="Share of rows whose class may differ, if not lossy."
    )
    boundary_ulps: int = Field(
        0, ge=0, description="How many FP32 steps a split threshold may move, if not lossy."
    )
    batch_atol: float | None = Field(
        None,
        ge=0,
        description="Largest difference of a row alone and in a batch. Default: atol, or what"
        " rounding does to a row alone, and 4 times that where scales come from the batch.",
    )
    max_scale_error: float = Field(
        0.1,
        ge=0,
        description="How far from 1 the factor may be by which quantising or casting scales an"
        " output (of probabilities, their log-odds).",
    )
    max_metric_drop: float | dict[str, float] = Field(
        METRIC_DROP,
        description="Bound on what each metric may lose; or by metric, where others keep 0.005.",
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="That the drop is below the bound.")
    bootstrap: int = Field(1000, ge=100, description="Resamples behind the bound.")
    max_latency_ms: float | None = Field(None, gt=0, description="p95 of a batch of `at_batch`.")
    at_batch: int = Field(1, ge=1, description="Rows at which latency and speed are judged.")
    min_speedup: float | None = Field(None, gt=0, description="Against the original, at at_batch.")
    max_size_mb: float | None = Field(None, gt=0, description="Bytes of the artefact.")
    max_memory_mb: float | None = Field(None, gt=0, description="Memory that loading it takes.")
    lossy_speedup: float = Field(1.1, ge=1, description="A lossy candidate is this much faster,")
    lossy_shrink: float = Field(1.5, ge=1, description="or this much smaller, or is rejected.")

    def metric_drop(self, name: str) -> float:
        """What one metric may lose."""
        drops = self.max_metric_drop
        return drops.get(name, METRIC_DROP) if isinstance(drops, dict) else drops


class Search(Settings):
    """How long to look."""

    max_trials: int = Field(32, ge=1, description="Most candidates to try.")
    max_minutes: float = Field(30.0, gt=0, description="No candidate is begun after this time.")


class StepLimits(Settings):
    """What one step may use."""

    minutes: float = Field(10.0, gt=0, description="Time after which a step is ended.")
    memory_mb: int | None = Field(None, ge=64, description="Default: 80 % of the machine's.")


class OptimizeSettings(Settings):
    """All of ``optimize:``."""

    source: str = Field(
        description="The trained model: `file.py:function` that returns it, or a file: .onnx,"
        " .txt (LightGBM), .json or .ubj (XGBoost), .skops, .joblib or .pkl (scikit-learn)."
    )
    data: Data = Field(description=Data.__doc__)
    metric: str | tuple[str, ...] = Field(
        description="One or several, each gated: a built-in name, or `file.py:function` of"
        " target and prediction where more is better."
    )
    output: str | None = Field(
        None, description="The output that metrics judge; default: the first floating-point one."
    )
    depends: tuple[str, ...] = Field(
        (), description="Files outside the model's folder that its code uses."
    )
    target: Target = Field(default_factory=Target, description=Target.__doc__)
    steps: tuple[Any, ...] | None = Field(
        None, description="Steps in order, or `choose:` with alternatives; see docs/optimize.md."
    )
    gates: Gates = Field(default_factory=Gates, description=Gates.__doc__)
    objective: Literal["latency", "throughput", "size"] = Field(
        "latency", description="What is best among the candidates that pass every gate."
    )
    search: Search = Field(default_factory=Search, description=Search.__doc__)
    limits: StepLimits = Field(default_factory=StepLimits, description=StepLimits.__doc__)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics, however many were named."""
        return (self.metric,) if isinstance(self.metric, str) else self.metric


def parse_settings(data: dict[str, Any], path: Path) -> OptimizeSettings:
    """The settings, or what is wrong with them.

    Raises:
        OptimizeError: a field is missing, unknown or wrong.
    """
    if not data:
        raise OptimizeError(
            step="settings",
            problem=f"{path} has no `optimize:`",
            remedy="add optimize.source, optimize.data.evaluation and optimize.metric;"
            " docs/optimize.md has examples",
        )
    try:
        return OptimizeSettings.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(["optimize", *map(str, first["loc"])])
        raise OptimizeError(
            step="settings",
            problem=f"{path}: {field}: {first['msg']}",
            remedy="docs/optimize.md lists every field",
        ) from error
