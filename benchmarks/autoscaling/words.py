"""A simulation in words and rows, for the terminal and the page alike."""

from __future__ import annotations

from benchmarks.autoscaling.outcome import Figures
from benchmarks.autoscaling.run import Run

__all__ = ["assumptions", "is_good", "rows", "verdict"]

FEW = 0.01
"""Of all predictions so many may be refused or late before the verdict says that they are many."""


def missed(run: Run) -> float:
    """The part of all predictions that were refused or late."""
    return (run.scaled.refused + run.scaled.late) / run.scaled.asked


def is_good(run: Run) -> bool:
    """Whether few are missed."""
    return missed(run) <= FEW


def verdict(run: Run) -> str:
    """What the settings save, and what they cost in answers."""
    saved = 1 - run.scaled.usd / run.fixed.usd
    money = f"{saved:.0%} less" if saved >= 0 else f"{-saved:.0%} more"
    return (
        f"{_share(missed(run))} of the predictions are refused or late, for {money} than"
        f" {_many(run.fixed.replicas_most, 'replica')} all along"
    )


def rows(run: Run) -> list[tuple[str, ...]]:
    """A head, then a row for the settings and one for a fixed number."""
    return [
        ("", "mean", "most", "changes", "p50", "p99", "late", "refused", "$/month", "$/million"),
        _row("scaled", run.scaled),
        _row("fixed", run.fixed),
    ]


def assumptions(run: Run) -> list[tuple[str, str]]:
    """Everything that the figures rest on."""
    capacity, instance = run.capacity, run.machines.instance
    wanted, slo = run.config.autoscaling, run.config.slo
    target = "none" if slo.latency_ms is None else f"{slo.latency_ms:g} ms"
    return [
        ("model", run.model),
        (
            "load",
            f"{run.trace.name}: {_many(run.trace.asked, 'prediction')} in"
            f" {len(run.trace.rates):,} s, at most {run.trace.peak_per_s:,.0f}/s",
        ),
        (
            "a replica",
            f"{capacity.per_s:,.0f} predictions/s in batches of {capacity.best_rows};"
            f" slots: {capacity.slots} ({capacity.origin})",
        ),
        ("starts within", f"{run.start_s:g} s, from the decision to its first answer"),
        ("latency target", f"{target}; requests give up after {slo.timeout_ms:g} ms"),
        *((name, f"{value:g}") for name, value in wanted.model_dump(exclude_none=True).items()),
        (
            "machine",
            f"{instance.name}, ${instance.usd_per_hour:g} an hour ({instance.source},"
            f" {instance.date}), paid for from the decision on; replicas on each:"
            f" {run.machines.replicas}",
        ),
        ("fixed", f"{_many(run.fixed.replicas_most, 'replica')} for the peak, all along"),
        ("a month", f"{run.prices.hours_per_month:g} hours like these"),
        ("not included", "gateways, traffic, spares, and machines that are slow to go"),
    ]


def _row(name: str, one: Figures) -> tuple[str, ...]:
    return (
        name,
        f"{one.replicas_mean:.1f}",
        str(one.replicas_most),
        str(one.changes),
        _ms(one.p50_ms),
        _ms(one.p99_ms),
        _share(one.late / one.asked),
        _share(one.refused / one.asked),
        f"{one.usd_per_month:,.0f}",
        "-" if one.usd_per_million is None else f"{one.usd_per_million:.4f}",
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g} ms"


def _many(number: float, what: str) -> str:
    return f"{number:,.0f} {what}{'' if round(number) == 1 else 's'}"


def _share(part: float) -> str:
    return "none" if part < 1e-6 else f"{part:.2%}" if part >= 1e-4 else "under 0.01%"
