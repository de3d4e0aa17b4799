"""From throughput and prices to machines and money. Pure arithmetic."""

from __future__ import annotations

import math

import msgspec

from benchmarks.cost.spec import Instance, Prices

__all__ = ["Cost", "cost_of", "machines_for", "monthly_usd"]

GB = 1e9
SECONDS_PER_HOUR = 3600


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of machine costs at the target rate."""

    instance: str
    qps_per_machine: float
    """Measured, at the SLO."""
    machines: int
    """Spares included."""
    usd_per_month: float
    machines_usd: float
    traffic_usd: float | None
    """None: the price file has no price for it, and it is not included."""
    fixed_usd: float
    usd_per_million: float
    """Everything of the month, a million predictions at the target rate."""
    marginal_usd_per_million: float
    """Machine time alone, of a million more predictions."""
    is_within_budget: bool
    break_even_qps: float
    """The least a machine must do for the month to stay within the budget; inf: none does."""


def machines_for(rate_per_s: float, qps: float, prices: Prices) -> int:
    """Machines that carry a rate, and the spares."""
    return math.ceil(rate_per_s / (qps * prices.utilisation) - 1e-9) + prices.spares


def monthly_usd(rate_per_s: float, qps: float, instance: Instance, prices: Prices) -> float:
    """A month at a rate: machines, traffic where it has a price, and what is fixed."""
    machines = machines_for(rate_per_s, qps, prices)
    others = (_traffic_usd(rate_per_s, prices) or 0.0) + _fixed_usd(prices)
    return machines * _machine_usd(instance, prices) + others


def cost_of(qps: float, instance: Instance, prices: Prices) -> Cost:
    """The target rate on one kind of machine.

    Raises:
        ValueError: ``qps`` is not above 0.
    """
    if not (math.isfinite(qps) and qps > 0):
        raise ValueError(f"a machine that does {qps:g} predictions a second costs no sum")
    rate = prices.target_per_s
    machines = machines_for(rate, qps, prices)
    month = monthly_usd(rate, qps, instance, prices)
    millions = rate * SECONDS_PER_HOUR * prices.hours_per_month / 1e6
    return Cost(
        instance=instance.name,
        qps_per_machine=qps,
        machines=machines,
        usd_per_month=month,
        machines_usd=machines * _machine_usd(instance, prices),
        traffic_usd=_traffic_usd(rate, prices),
        fixed_usd=_fixed_usd(prices),
        usd_per_million=month / millions,
        marginal_usd_per_million=instance.usd_per_hour
        / (SECONDS_PER_HOUR * qps * prices.utilisation)
        * 1e6,
        is_within_budget=month <= prices.budget_usd_per_month,
        break_even_qps=_break_even_qps(instance, prices),
    )


def _break_even_qps(instance: Instance, prices: Prices) -> float:
    others = (_traffic_usd(prices.target_per_s, prices) or 0.0) + _fixed_usd(prices)
    left = prices.budget_usd_per_month - others
    serving = math.floor(left / _machine_usd(instance, prices) + 1e-9) - prices.spares
    if serving < 1:
        return math.inf
    return prices.target_per_s / (serving * prices.utilisation)


def _machine_usd(instance: Instance, prices: Prices) -> float:
    return instance.usd_per_hour * prices.hours_per_month


def _traffic_usd(rate_per_s: float, prices: Prices) -> float | None:
    traffic = prices.traffic
    if traffic.usd_per_gb_out is None:
        return None
    seconds = prices.hours_per_month * SECONDS_PER_HOUR
    return rate_per_s * seconds * traffic.bytes_out_per_prediction / GB * traffic.usd_per_gb_out


def _fixed_usd(prices: Prices) -> float:
    return sum(one.usd_per_month for one in prices.fixed)
