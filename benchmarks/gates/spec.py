"""What a gate file may say. Each field's description is its documentation and its JSON schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "Baseline",
    "Budget",
    "Defaults",
    "Gate",
    "GateFile",
    "Hardware",
    "Inputs",
    "Noise",
    "OnNoisy",
    "Scenario",
    "ServerSpec",
]

OnNoisy = Literal["invalid", "keep_passes", "skip"]
PERCENTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99, "p999": 0.999}
STEADY_WORDS = (
    *("cpu", "rss", "copies", "error_rate", "failed", "requests", "refusals_without_hint"),
    *("growth", "exit_status", "scrapes"),
)
"""Words in the names of metrics that neighbours on the machine hardly move."""
Share = Annotated[float, Field(ge=0, le=1)]
Confidence = Annotated[float, Field(gt=0.5, lt=1)]


class Frozen(BaseModel):
    """A group of fields that knows no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Hardware(Frozen):
    """The machine that the limits were set for. Absolute gates on speed need it to match."""

    cpus: int | None = Field(None, ge=1, description="Cores the run may use, exactly.")
    model: str | None = Field(None, description="Part of the CPU's model name.")
    memory_gib_min: float | None = Field(None, gt=0, description="Least memory of the machine.")


class Noise(Frozen):
    """How disturbed the machine may be, and what happens if it is more."""

    foreign_max: Share = Field(
        0.10,
        description="Most of the machine's CPU that others may use, on average over an attempt.",
    )
    psi_some_max: Share | None = Field(
        None,
        description="Most CPU pressure on average; the server and the generator add to it"
        " themselves, so leave it out unless they have cores to spare.",
    )
    preflight_busy_max: Share = Field(
        0.10, description="How busy the machine may be before the first scenario starts."
    )
    preflight_wait_s: float = Field(
        10.0, ge=0, description="How long to wait for it to calm down; then it starts regardless."
    )
    retries: int = Field(2, ge=0, le=10, description="How often an invalid attempt is repeated.")
    on_noisy: OnNoisy = Field(
        "invalid",
        description="What a gate that requires quiet is on a noisy machine. `invalid`: not judged,"
        " and the run is not green. `keep_passes`: a limit kept in spite of the noise is kept,"
        " one missed is invalid. `skip`: shown, and the other gates decide.",
    )


class Defaults(Frozen):
    """Parameters of every scenario that has them and does not set its own."""

    seed: int = Field(20261123, ge=0, description="Of arrivals and the order of rounds.")
    warmup_s: float | None = Field(None, ge=0, description="Load that is not counted.")
    duration_s: float | None = Field(None, gt=0, description="Load that is.")
    connections: int | None = Field(None, ge=1, description="Connections of the generator.")


class ServerSpec(Frozen):
    """The server under test: started for the run, or one that runs already."""

    repository: Path | None = Field(
        None, description="Model repository to serve; relative to the working directory."
    )
    flags: tuple[str, ...] = Field((), description="Further flags of `penstock serve`.")
    command: tuple[str, ...] | None = Field(
        None,
        description="Another command to start the server. {repository}, {http_port}, {grpc_port}"
        " and {admin_port} are filled in. Default: this environment's `penstock serve`.",
    )
    url: str | None = Field(None, description="http://host:port of a server that runs already.")
    grpc_url: str | None = Field(None, description="Its gRPC address, host:port.")
    admin_url: str | None = Field(None, description="Its admin address, for batch sizes.")
    pid: int | None = Field(
        None, ge=1, description="Its process on this machine, for CPU and memory."
    )

    @model_validator(mode="after")
    def one_way(self) -> ServerSpec:
        if self.url is not None and (self.command or self.flags):
            raise ValueError(
                "`url` is of a server that runs already, `command` and `flags` start one:"
                " remove one of the two"
            )
        if self.url is None and (self.grpc_url or self.admin_url or self.pid):
            raise ValueError("`grpc_url`, `admin_url` and `pid` go with `url`: add it")
        return self


class Inputs(Frozen):
    """Where requests come from. Without one: made from the model's signature."""

    recorded: Path | None = Field(
        None, description="Recorded requests: a JSON body a line, or one in a file."
    )
    evaluation: Path | None = Field(
        None, description="Evaluation data: .csv, .npz or .jsonl with each of the model's inputs."
    )

    @model_validator(mode="after")
    def at_most_one(self) -> Inputs:
        if self.recorded is not None and self.evaluation is not None:
            raise ValueError("`recorded` and `evaluation` are two sources: keep one")
        return self


class Baseline(Frozen):
    """What relative gates compare with, run turn by turn with the candidate."""

    ref: str | None = Field(
        None,
        description="A git commit, branch or tag. `auto`: where this branch left the default"
        " branch; on that branch itself, the last commit before what is checked out.",
    )
    installed: str | None = Field(
        None, description="The `penstock` command of another environment, as of a release."
    )
    repository: Path | None = Field(
        None, description="Its model repository, if it cannot serve the candidate's."
    )
    flags: tuple[str, ...] | None = Field(None, description="Its flags, if they differ.")
    environment: Literal["auto", "own", "shared"] = Field(
        "auto",
        description="Packages that a `ref` runs with. `own`: a virtual environment made for it."
        " `shared`: the candidate's. `auto`: shared if both declare the same dependencies.",
    )

    @model_validator(mode="after")
    def one_source(self) -> Baseline:
        if (self.ref is None) == (self.installed is None):
            raise ValueError("give either `ref` (a git commit) or `installed` (a command)")
        return self


class Gate(Frozen):
    """One limit: absolute (`op` and `value`), or relative (`max_ratio` or `min_ratio`)."""

    metric: str = Field(min_length=1, description="A metric of the scenario.")
    op: Literal["<", "<=", ">", ">="] | None = Field(None, description="How `value` bounds it.")
    value: float | None = Field(None, description="The bound, in the metric's unit.")
    max_ratio: float | None = Field(
        None, gt=0, description="Most that candidate / baseline may be."
    )
    min_ratio: float | None = Field(
        None, gt=0, description="Least that candidate / baseline may be."
    )
    method: Literal["plain", "early_stopping", "paired_starts"] | None = Field(
        None,
        description="`plain` compares one number. `early_stopping` proves a latency percentile"
        " from the number of requests over the bound, as MLPerf does. Ratios: `paired_starts`.",
    )
    confidence: Confidence | None = Field(
        None,
        description="Early stopping: 0.99. Ratios: 0.95 for all ratios of the file together.",
    )
    requires: Literal["quiet", "any"] | None = Field(
        None,
        description="Whether the machine must be quiet to judge this. Default: `any` for CPU,"
        " memory, counts and error rates, `quiet` for all else.",
    )
    on_noisy: OnNoisy | None = Field(None, description="Like `noise.on_noisy`, for this gate.")
    why: str = Field("", description="Shown in the report beside the limit.")

    @model_validator(mode="after")
    def one_limit(self) -> Gate:
        absolute = self.op is not None or self.value is not None
        ratios = [r for r in (self.max_ratio, self.min_ratio) if r is not None]
        if absolute + len(ratios) != 1:
            raise ValueError("give one limit: `op` and `value`, or `max_ratio`, or `min_ratio`")
        if absolute and (self.op is None or self.value is None):
            raise ValueError("an absolute limit needs both `op` and `value`")
        if self.method == "paired_starts" and absolute:
            raise ValueError("`paired_starts` is for ratios: use `plain` or `early_stopping`")
        if self.method in ("plain", "early_stopping") and ratios:
            raise ValueError(f"`{self.method}` is for absolute limits: remove it")
        if self.method == "early_stopping" and (self.percentile is None or ">" in str(self.op)):
            raise ValueError(
                "`early_stopping` proves that a percentile is below a bound: it needs"
                " latency_ms.p50, p90, p99 or p999 and `<` or `<=`"
            )
        return self

    @property
    def is_relative(self) -> bool:
        return self.max_ratio is not None or self.min_ratio is not None

    @property
    def percentile(self) -> float | None:
        """0.99 of ``latency_ms.p99``; None where the metric is no latency percentile."""
        group, _, name = self.metric.rpartition(".")
        return PERCENTILES.get(name) if group == "latency_ms" else None

    @property
    def needs_quiet(self) -> bool:
        if self.requires is not None:
            return self.requires == "quiet"
        return not any(word in self.metric for word in STEADY_WORDS)

    def text(self) -> str:
        """The limit as people write it."""
        if self.max_ratio is not None:
            return f"{self.metric} ≤ {self.max_ratio:g} × baseline"
        if self.min_ratio is not None:
            return f"{self.metric} ≥ {self.min_ratio:g} × baseline"
        sign = {"<=": "≤", ">=": "≥"}.get(str(self.op), str(self.op))
        return f"{self.metric} {sign} {self.value:,g}"


class Scenario(Frozen):
    """One scenario to run, and the limits it must keep."""

    name: str = Field(min_length=1, description="Unique in the file; titles the report's section.")
    scenario: str | None = Field(None, description="Which scenario it is. Default: `name`.")
    params: dict[str, Any] = Field({}, description="Parameters of the scenario.")
    gates: tuple[Gate, ...] = Field((), description="Without any it is measured, not judged.")
    if_unsupported: Literal["block", "skip"] = Field(
        "block",
        description="`block`: a server that cannot do this cannot pass. `skip`: shown as"
        " unsupported, and the rest decides.",
    )

    @property
    def kind(self) -> str:
        return self.scenario or self.name


class Budget(Frozen):
    """How long the run may take."""

    max_minutes: float = Field(
        60.0, gt=0, description="No retry and no scenario is started once this has passed."
    )


class GateFile(Frozen):
    """A gate file."""

    schema_version: Literal[1] = Field(alias="schema", description="Version of this format.")
    name: str = Field(min_length=1, description="Titles the report.")
    description: str = Field("", description="What a pass of this file means.")
    profile: str = Field("any", description="Name of the hardware that the limits are for.")
    hardware: Hardware = Hardware()
    noise: Noise = Noise()
    defaults: Defaults = Defaults()
    server: ServerSpec = ServerSpec()
    model: str | None = Field(None, description="Model that scenarios send requests to.")
    inputs: Inputs = Inputs()
    baseline: Baseline | None = Field(None, description="What relative gates compare with.")
    scenarios: tuple[Scenario, ...] = Field(min_length=1)
    budget: Budget = Budget()

    @model_validator(mode="after")
    def consistent(self) -> GateFile:
        names = [scenario.name for scenario in self.scenarios]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two scenarios are named {twice[0]}: give one another `name`")
        if self.relative_gates and self.baseline is None:
            raise ValueError("there are ratios but no `baseline`: add `baseline: {ref: auto}`")
        return self

    @property
    def relative_gates(self) -> int:
        """How many ratios are judged, which their confidence is shared among."""
        return sum(gate.is_relative for one in self.scenarios for gate in one.gates)
