"""Who answers a model's requests (``traffic:`` in ``model.yaml``), and when a rollout goes on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from serve.config.base import Settings

__all__ = ["Guards", "Shadow", "Sticky", "Traffic", "named_versions", "target_name"]

TARGET = re.compile(r"[1-9][0-9]{0,17}|[A-Za-z][A-Za-z0-9._-]{0,63}")
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")


def target_name(value: Any) -> Any:
    """A version's number or a label, as text; YAML has numbers where a label could stand.

    Raises:
        ValueError: it is neither.
    """
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str) or TARGET.fullmatch(value) is None:
        raise ValueError(f"{value!r:.80} is neither a version's number nor a label")
    return value


Target = Annotated[str, BeforeValidator(target_name)]
Share = Annotated[float, Field(ge=0, le=1)]


class Sticky(Settings):
    """By what callers are told apart, so that each of them always meets the same version."""

    header: str | None = Field(
        None, description="A request header, or over gRPC an entry of the metadata."
    )
    parameter: str | None = Field(None, min_length=1, description="A request parameter.")
    input: str | None = Field(
        None, min_length=1, description="An input: its first element in the request."
    )

    @model_validator(mode="after")
    def _one(self) -> Sticky:
        given = [name for name in ("header", "parameter", "input") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError("sticky: name one of header, parameter and input")
        if self.header is not None and HEADER.fullmatch(self.header) is None:
            raise ValueError(f"sticky.header: {self.header!r:.80} is no name of a header")
        return self


class Shadow(Settings):
    """A version that is given copies of requests, and whose answers nobody gets."""

    to: Target = Field(description="The version, or a label of it.")
    percent: float = Field(100.0, gt=0, le=100, description="Share of requests that is copied.")
    tolerance: float = Field(
        1e-3,
        ge=0,
        description="Answers agree while no number differs by more, relative to the larger of the"
        " two and 1; text and whole numbers have to be equal.",
    )
    max_pending_rows: int = Field(
        256, ge=1, le=65536, description="Rows that wait to be copied; those beyond are dropped."
    )


class Guards(Settings):
    """What has to hold of a new version for a rollout to go on. Owner: who releases the model.

    Each is a test that may be looked at all the time: a breach is one with ``confidence``,
    however often one looks.
    """

    min_requests: int = Field(
        100, ge=1, description="Requests that a step needs of the new version before it ends."
    )
    max_error_rate_increase: Share | None = Field(
        0.01, description="Failed requests, as a share of those accepted, beyond stable's share."
    )
    max_refusal_rate_increase: Share | None = Field(
        0.05, description="Refused requests, as a share of all, beyond stable's share."
    )
    max_p99_ratio: float | None = Field(
        1.5, gt=1, description="p99 of the new version over that of stable, at the same time."
    )
    min_p99_ms: float = Field(5.0, ge=0, description="A p99 below it never breaches max_p99_ratio.")
    p99_ms: float | None = Field(
        None, gt=0, description="Highest p99; default: slo.latency_ms, if the model has one."
    )
    max_disagreement: Share | None = Field(
        None, description="Share of shadow copies whose answers disagree."
    )
    max_score_shift: Share | None = Field(
        0.2,
        description="Largest distance of the distributions of the scores of the two versions"
        " (Kolmogorov-Smirnov, 0 to 1).",
    )
    confidence: float = Field(
        0.99, gt=0.5, lt=1, description="Of each guard, that a breach is none by chance."
    )


class Traffic(Settings):
    """Which versions answer requests that name none. Owner: whoever releases the model."""

    split: dict[Target, Annotated[float, Field(ge=0, le=1e9)]] = Field(
        default_factory=dict,
        description="Weights by version or label, as in `{stable: 95, canary: 5}`; default: all to"
        " `stable`, or the highest version.",
    )
    sticky: Sticky | None = Field(None, description=Sticky.__doc__)
    salt: str = Field(
        "",
        max_length=200,
        description="Name of the experiment: another one assigns callers anew. Default: the"
        " model's name.",
    )
    shadow: Shadow | None = Field(None, description=Shadow.__doc__)
    score: str | None = Field(
        None,
        min_length=1,
        description="The output whose distribution is compared; default: the first that is numeric"
        " and not a whole number.",
    )
    guards: Guards = Field(default_factory=Guards, description=Guards.__doc__)

    @model_validator(mode="after")
    def _some_weight(self) -> Traffic:
        if self.split and not any(self.split.values()):
            raise ValueError("split: a weight at least should be above 0")
        return self


def named_versions(labels: Mapping[str, int], traffic: Traffic) -> dict[str, int]:
    """The versions that labels and a traffic section name, by the field that does."""
    named = {f"labels.{label}": number for label, number in labels.items()}
    for target in traffic.split:
        if target.isdigit():
            named[f"traffic.split.{target}"] = int(target)
    if traffic.shadow is not None and traffic.shadow.to.isdigit():
        named["traffic.shadow.to"] = int(traffic.shadow.to)
    return named
