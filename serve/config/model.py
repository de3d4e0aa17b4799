"""Settings of a model (``model.yaml``), as frozen groups, one for each owner of a concern.

The field descriptions below are the reference: ``penstock schema`` prints them as a JSON schema.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from serve.config.base import Settings, path_inside
from serve.config.source import Source
from serve.config.traffic import Traffic

__all__ = [
    "Autoscaling",
    "Batching",
    "Cache",
    "GraphOptimization",
    "InputConfig",
    "ModelConfig",
    "OutputConfig",
    "Resources",
    "Slo",
    "Tokenizer",
    "Versions",
    "Warmup",
]

DatatypeName = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BF16",
    "BYTES",
]


def _number(value: float) -> float:
    if math.isnan(value):
        raise ValueError("should be a number, or null for an open end")
    return value


def _label(name: Any) -> Any:
    if not isinstance(name, str) or LABEL.fullmatch(name) is None:
        raise ValueError(
            f"{name!r:.80} is no label: a letter first, so that it is no number, then at most 63"
            " letters, digits, dots, dashes and underscores"
        )
    return name


LABEL = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
Label = Annotated[str, BeforeValidator(_label)]
GraphOptimization = Literal["off", "basic", "extended", "all"]
Scalar = bool | int | float | str
PositiveMs = Annotated[float, Field(gt=0, le=1e17)]
RangeEnd = Annotated[float, AfterValidator(_number)]


class Batching(Settings):
    """How requests are put together. Owner: whoever tunes throughput against latency."""

    max_batch_size: int | None = Field(
        None,
        ge=0,
        le=65536,
        description="Most rows in a batch; 0: never batch. Default: 128 where the model's first"
        " dimension is symbolic, else 0.",
    )
    max_queue_delay_ms: float = Field(
        0.0,
        ge=0,
        le=60_000,
        description="Longest wait for a fuller batch while an executor is free; 0: never wait.",
    )
    max_queue_rows: int = Field(
        8192, ge=1, description="Most rows that wait; a request beyond it is refused at once."
    )
    preferred_batch_sizes: tuple[int, ...] = Field(
        (), description="Sizes, in rows, at which a waiting batch leaves without further delay."
    )

    @model_validator(mode="after")
    def _preferred_fit(self) -> Batching:
        limit = self.max_batch_size
        for size in self.preferred_batch_sizes:
            if size < 1 or (limit is not None and size > limit):
                raise ValueError(f"preferred_batch_sizes: {size} is not within 1..max_batch_size")
        return self


class Slo(Settings):
    """What callers were promised. Owner: the product."""

    latency_ms: PositiveMs | None = Field(
        None,
        description="Target for accepted requests. Admission refuses a request that is predicted"
        " to take longer, so that a queue never grows past it.",
    )
    timeout_ms: PositiveMs = Field(
        60_000.0,
        description="Deadline of a request that brings none; a shorter one in the request wins.",
    )


class Versions(Settings):
    """Which numbered folders are served. Owner: whoever releases the model."""

    policy: Literal["latest", "all", "specific"] = Field(
        "latest", description="latest: the `count` highest; all; specific: those in `numbers`."
    )
    count: int = Field(1, ge=1, description="How many of the latest versions to serve.")
    numbers: tuple[int, ...] = Field((), description="The versions that `specific` serves.")

    @model_validator(mode="after")
    def _specific_names_some(self) -> Versions:
        if (self.policy == "specific") != bool(self.numbers):
            raise ValueError("numbers goes with `policy: specific`, and only with it")
        return self


class Resources(Settings):
    """What the model may use. Owner: the platform."""

    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="cpu, cuda, cuda:N, or auto: a GPU if the runtime and one are there.",
    )
    instances: int = Field(
        1, ge=1, le=256, description="Batches of this model that may run at the same time."
    )
    intra_op_threads: int | None = Field(
        None, ge=1, le=1024, description="Threads in one batch; default: cores / instances."
    )
    graph_optimization: GraphOptimization | None = Field(
        None,
        description="How far ONNX Runtime rewrites a graph as it loads; default: as the version's"
        " manifest says, else all. A compiled graph needs none.",
    )
    cpus: float | None = Field(
        None,
        ge=0,
        le=1024,
        description="On Ray, CPUs that a replica reserves. Default: 1 on a cluster that was"
        " joined, none on one of the server's own.",
    )
    gpus: float | None = Field(
        None,
        ge=0,
        le=64,
        description="On Ray, GPUs that a replica reserves: a part of one, or whole ones. Default:"
        " 1 where `device` is cuda, else none.",
    )
    accelerator_type: str | None = Field(
        None,
        min_length=1,
        description="On Ray, the only kind of node for it, by its accelerator: H100, L4, ...",
    )
    memory_mb: int | None = Field(
        None, ge=1, description="On Ray, memory that a replica reserves, in units of 10^6 bytes."
    )
    custom: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="On Ray, what else a replica reserves, as the nodes name it.",
    )

    @field_validator("gpus")
    @classmethod
    def _part_or_whole(cls, value: float | None) -> float | None:
        if value is not None and value > 1 and value != int(value):
            raise ValueError("gpus: above 1 should be a whole number")
        return value


class Autoscaling(Settings):
    """How many replicas of the model there are on Ray. Owner: who pays for them."""

    min_replicas: int = Field(
        1,
        ge=0,
        le=4096,
        description="Fewest; the model is ready when there are so many. 0: none while nobody asks.",
    )
    max_replicas: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Most; default: min_replicas, which is then their number, or 1.",
    )
    target_utilisation: float = Field(
        0.6,
        gt=0,
        le=1,
        description="Share that should be used of what a replica can do, in batches of the best"
        " size.",
    )
    upscale_delay_s: float = Field(
        5.0, ge=0, le=86_400, description="For so long more must be needed before more are started."
    )
    downscale_delay_s: float = Field(
        120.0, ge=0, le=86_400, description="For so long fewer must do before any is ended."
    )
    look_back_s: float = Field(
        10.0, gt=0, le=3600, description="Utilisation and waiting are means over this time."
    )
    cold_start_timeout_s: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="With no replica, a request waits at most so long for the first one.",
    )

    @property
    def most(self) -> int:
        """Most replicas."""
        return self.max_replicas or max(1, self.min_replicas)

    @model_validator(mode="after")
    def _ordered(self) -> Autoscaling:
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            raise ValueError(
                f"max_replicas: {self.max_replicas} is below min_replicas, {self.min_replicas}"
            )
        return self


class Tokenizer(Settings):
    """Text in, token ids to the model: tokenised by the server, once per batch."""

    file: str = Field(
        "tokenizer.json",
        description="What the `tokenizers` library saved; in the version's folder, else in the"
        " model's.",
    )
    input: str = Field(
        "text",
        min_length=1,
        description="The input that takes text, in place of input_ids, attention_mask and"
        " token_type_ids.",
    )
    max_length: int | None = Field(
        None,
        ge=1,
        le=65536,
        description="Most tokens of a text, beyond which it is cut; default: what the file says,"
        " else 512.",
    )

    @field_validator("file")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        return path_inside(value, "the version's or the model's folder")


class Cache(Settings):
    """Answers that are kept for requests that come again. Owner: the product, whose answers age."""

    ttl_s: float | None = Field(
        60.0,
        gt=0,
        le=31_536_000,
        description="Age at which an answer is used no more; null: it is kept until others need"
        " its place.",
    )
    max_bytes: int | None = Field(
        None,
        ge=4096,
        description="Most memory for answers, in each process; default: what --cache-bytes says.",
    )
    shared: bool = Field(
        False,
        description="Share answers with other servers, and keep them over a restart, in the Redis"
        " of --cache-redis.",
    )


class InputConfig(Settings):
    """One input: what the artefact does not say of it."""

    datatype: DatatypeName | None = Field(None, description="Needed where the artefact has none.")
    shape: tuple[int, ...] | None = Field(
        None,
        description="With the batch dimension, -1 where variable; must agree with the artefact.",
    )
    range: tuple[RangeEnd | None, RangeEnd | None] | None = Field(
        None, description="Lowest and highest value allowed, null for open; NaN is refused too."
    )
    default: Scalar | None = Field(
        None,
        description="Stands in for a null element, and for the whole input where it is left out."
        " .nan hands the gap to the model.",
    )

    @field_validator("range")
    @classmethod
    def _ordered(cls, value: tuple[float | None, float | None] | None) -> Any:
        if value and value[0] is not None and value[1] is not None and value[0] > value[1]:
            raise ValueError(f"range: {value[0]} is above {value[1]}")
        return value


class OutputConfig(Settings):
    """One output: what the artefact does not say of it."""

    datatype: DatatypeName | None = Field(None, description="Needed where the artefact has none.")
    shape: tuple[int, ...] | None = Field(
        None, description="With the batch dimension, -1 where variable."
    )
    labels: tuple[str, ...] = Field((), description="Class names for the classification extension.")


class Warmup(Settings):
    """What runs before a version is ready."""

    batch_sizes: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field(
        (), description="Rows of each warm-up batch; default: powers of two, within a time budget."
    )
    budget_ms: float = Field(
        500.0, ge=0, le=1e12, description="Time after which no further warm-up batch starts."
    )


class ModelConfig(Settings):
    """All of ``model.yaml``. Every field is optional."""

    owner: str = Field("", description="Who answers for the model: a team or an address.")
    description: str = Field("", description="What it decides, in a sentence.")
    backend: Literal["onnxruntime", "python", "torch"] | None = Field(
        None, description="Default: by the artefact's name (model.onnx, model.py, model.pt2)."
    )
    source: Source | None = Field(
        None,
        description="The registered model in MLflow that versions are pulled from, as in"
        " models:/fraud@champion: the version that the alias stands for is `stable`, unless"
        " `labels` says otherwise. Pulled by `penstock models pull`, and with poll.",
    )
    trust_native_code: bool = Field(
        False,
        description="Load a .pt2 that no manifest vouches for: it is native code, and runs with"
        " the server's rights.",
    )
    batching: Batching = Field(default_factory=Batching, description=Batching.__doc__)
    slo: Slo = Field(default_factory=Slo, description=Slo.__doc__)
    versions: Versions = Field(default_factory=Versions, description=Versions.__doc__)
    labels: dict[Label, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict,
        description="Names for versions, as in `{stable: 3, canary: 4}`: requests may ask for them."
        " A version with a label is served whatever `versions` says; `stable`, if there is one,"
        " answers requests that ask for no version.",
    )
    resources: Resources = Field(default_factory=Resources, description=Resources.__doc__)
    autoscaling: Autoscaling = Field(default_factory=Autoscaling, description=Autoscaling.__doc__)
    inputs: dict[str, InputConfig] = Field(default_factory=dict, description="By input name.")
    outputs: dict[str, OutputConfig] = Field(default_factory=dict, description="By output name.")
    tokenizer: Tokenizer | None = Field(None, description=Tokenizer.__doc__)
    cache: Cache | None = Field(
        None, description=f"{Cache.__doc__} `cache: {{}}` is one with the defaults."
    )
    traffic: Traffic = Field(default_factory=Traffic, description=Traffic.__doc__)
    warmup: Warmup = Field(default_factory=Warmup, description=Warmup.__doc__)
    parameters: dict[str, str] = Field(
        default_factory=dict, description="Handed to the backend as they are."
    )
    optimize: dict[str, Any] = Field(
        default_factory=dict,
        description="How `penstock optimize` makes the next version; read by that command alone.",
    )
