"""Numbers as people read them."""

from __future__ import annotations

from benchmarks.result import Check, Figure

__all__ = ["limit_text", "number_text", "value_text"]


def number_text(value: float) -> str:
    """Three significant digits, whole numbers above a hundred, thousands apart."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def value_text(figure: Figure) -> tuple[str, str]:
    """A figure's value with its unit, and its range, empty where it has none."""
    value = f"{number_text(figure.value)} {figure.unit}".rstrip()
    if figure.low is None or figure.high is None:
        return value, ""
    return value, f"{number_text(figure.low)} – {number_text(figure.high)}"


def limit_text(check: Check) -> str:
    """The limit with its sign."""
    sign = "≤" if check.op == "<=" else "≥"
    return f"{sign} {number_text(check.limit)} {'✓' if check.passed else '✗'}"
