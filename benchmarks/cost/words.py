"""The cost in words and rows, for the terminal and the page alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.cost.model import Cost
from benchmarks.cost.spec import Prices
from benchmarks.cost.throughput import Throughput

__all__ = ["assumptions", "rows", "verdict"]


def verdict(costs: Sequence[Cost], prices: Prices) -> str:
    """Whether the target fits the budget, on the cheapest machines."""
    cheapest = min(costs, key=lambda cost: cost.usd_per_month)
    fits = "within" if cheapest.is_within_budget else "over"
    return (
        f"{prices.target_per_s:,.0f} predictions a second cost ${cheapest.usd_per_month:,.0f} a"
        f" month on {cheapest.machines} {cheapest.instance}: {fits} the budget of"
        f" ${prices.budget_usd_per_month:,.0f}"
    )


def rows(costs: Sequence[Cost]) -> list[tuple[str, ...]]:
    """A head, then a row for each kind of machine."""
    head = ("machine", "each makes", "machines", "a month", "a million", "budget reached at")
    body = [
        (
            cost.instance,
            f"{cost.qps_per_machine:,.0f}/s",
            str(cost.machines),
            f"${cost.usd_per_month:,.0f}",
            f"${cost.usd_per_million:.4f}",
            "never" if math.isinf(cost.break_even_qps) else f"{cost.break_even_qps:,.0f}/s each",
        )
        for cost in costs
    ]
    return [head, *body]


def assumptions(throughput: Throughput, prices: Prices) -> list[tuple[str, str]]:
    """Everything that the figures rest on."""
    lines = [
        ("throughput", f"{throughput.qps:,.0f} predictions/s a machine, {throughput.origin}"),
    ]
    if throughput.machine:
        names = ", ".join(instance.name for instance in prices.instances)
        lines.append(
            (
                "measured on",
                f"{throughput.machine}; what {names} makes has to be measured there",
            )
        )
    lines += [("note", note) for note in throughput.notes]
    lines += [
        ("target", f"{prices.target_per_s:,.0f} predictions/s, all month"),
        ("budget", f"${prices.budget_usd_per_month:,.0f} a month"),
        ("utilisation", f"{prices.utilisation:.0%} of the throughput is planned for"),
        ("spares", f"{prices.spares} beyond what the load needs"),
        ("hours a month", f"{prices.hours_per_month:g}"),
    ]
    lines += [
        (
            instance.name,
            f"${instance.usd_per_hour:g} an hour, {instance.vcpus} vCPUs ({instance.source},"
            f" {instance.date})",
        )
        for instance in prices.instances
    ]
    traffic = prices.traffic
    size = f"{traffic.bytes_out_per_prediction:g} bytes a prediction"
    month_gb = (
        prices.target_per_s * prices.hours_per_month * 3600 * traffic.bytes_out_per_prediction / 1e9
    )
    if traffic.usd_per_gb_out is None:
        text = f"{size}, {month_gb:,.0f} GB a month: no price in the file, not included"
    else:
        usd = month_gb * traffic.usd_per_gb_out
        text = (
            f"{size}, {month_gb:,.0f} GB and ${usd:,.0f} a month"
            f" at ${traffic.usd_per_gb_out:g} a GB ({traffic.source}, {traffic.date})"
        )
    lines.append(("traffic out", text))
    lines += [
        (one.name, f"${one.usd_per_month:,.2f} a month ({one.source}, {one.date})")
        for one in prices.fixed
    ]
    if not prices.fixed:
        lines.append(("load balancer and the like", "none in the file, not included"))
    return lines
