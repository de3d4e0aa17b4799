"""Card transactions that never happened: a seeded stream with the structure of real ones.

Cardholders have a home country, a spending level, favourite shops and hours; some travel. Thieves
follow the patterns of ``patterns.py``. The features are computed from the resulting stream the way
a feature store would compute them, and then some get lost the way they do in production.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.fraud import patterns, world
from models.fraud.world import Array, Cardholders, Stream

__all__ = ["CATEGORIES", "FEATURES", "NUMBERS", "generate"]

NUMBERS = (
    "amount",
    "hour",
    "account_age_days",
    "tx_count_1h",
    "tx_count_24h",
    "amount_sum_24h",
    "amount_vs_usual",
    "distance_km_from_last",
)
CATEGORIES = ("merchant_category", "country", "card_country", "entry_mode")
FEATURES = NUMBERS + CATEGORIES

DAYS = 60
HOUR_S = 3600
DAY_S = 24 * HOUR_S
ROWS_PER_CARDHOLDER = 36
# Missed by everybody, and honest purchases that were disputed: labels are never clean.
UNREPORTED = 0.04
DISPUTED = 0.0004


def generate(rows: int, seed: int) -> pd.DataFrame:
    """The first ``rows`` transactions of a stream, in time order; equal seeds, equal rows.

    Returns:
        The columns of ``NUMBERS`` (float32, NaN where missing) and ``CATEGORIES`` (str, "" where
        missing), and ``is_fraud`` (int64).
    """
    rng = np.random.default_rng(seed)
    # A tenth too many, so that there are enough to cut at the end.
    holders = world.cardholders(rng, max(20, int(1.1 * rows / ROWS_PER_CARDHOLDER)), DAYS)
    honest = world.honest_stream(rng, holders, DAYS, ROWS_PER_CARDHOLDER)
    stream = honest.extended(patterns.fraud_stream(rng, holders, DAYS, len(honest)))
    stream = stream.take(np.lexsort((stream.time_s, stream.holder)))

    table = _features(stream, holders)
    fraud = stream.fraud & (rng.random(len(stream)) >= UNREPORTED)
    table["is_fraud"] = (fraud | (rng.random(len(stream)) < DISPUTED)).astype(np.int64)

    in_time = np.argsort(stream.time_s, kind="stable")[:rows]
    if len(in_time) < rows:
        raise RuntimeError(f"the stream ended after {len(in_time)} of {rows} rows")
    table = table.iloc[in_time].reset_index(drop=True)
    _lose_some(table, stream.time_s[in_time], rng)
    return table


def _features(stream: Stream, holders: Cardholders) -> pd.DataFrame:
    """What is known at the moment of each transaction; sorted by cardholder and time."""
    amounts = np.round(stream.amount, 2)
    paid = np.concatenate(([0.0], np.cumsum(amounts)))
    index = np.arange(len(stream))
    first = np.searchsorted(stream.holder, stream.holder)
    hour_ago = np.maximum(first, _since(stream, HOUR_S))
    day_ago = np.maximum(first, _since(stream, DAY_S))

    earlier = index - first
    usual = (paid[index] - paid[first]) / np.maximum(earlier, 1)
    numbers: dict[str, Array] = {
        "amount": amounts,
        "hour": (stream.time_s % DAY_S) // HOUR_S,
        "account_age_days": holders.opened_days_ago[stream.holder] + stream.time_s // DAY_S,
        "tx_count_1h": index - hour_ago,
        "tx_count_24h": index - day_ago,
        "amount_sum_24h": np.round(paid[index] - paid[day_ago], 2),
        # A mean of one or two says nothing yet.
        "amount_vs_usual": np.where(
            earlier >= 3, np.round(amounts / np.maximum(usual, 0.01), 2), np.nan
        ),
        "distance_km_from_last": np.round(_distance_from_last(stream), 1),
    }
    table = pd.DataFrame({name: numbers[name].astype(np.float32) for name in NUMBERS})
    table["merchant_category"] = _named(world.CATEGORY_NAMES, stream.category)
    table["country"] = _named(world.COUNTRY_NAMES, stream.country)
    table["card_country"] = _named(world.COUNTRY_NAMES, holders.country[stream.holder])
    table["entry_mode"] = _named(world.ENTRY_MODES, stream.entry)
    return table


def _named(names: tuple[str, ...], codes: npt.NDArray[np.int64]) -> pd.Series:
    return pd.Series(np.array(names, dtype=object)[codes], dtype=object)


def _since(stream: Stream, window_s: int) -> npt.NDArray[np.int64]:
    """For each transaction, the index of the first that is at most ``window_s`` older."""
    # One number line for all cardholders, with gaps wider than any window between them.
    span = 2 * (DAYS + 2) * DAY_S
    at = stream.holder * span + stream.time_s
    return np.searchsorted(at, at - window_s)


def _distance_from_last(stream: Stream) -> npt.NDArray[np.float64]:
    """Kilometres from the cardholder's last place; NaN online, and where there is no last."""
    present = np.flatnonzero(stream.entry != world.ONLINE)
    here, before = present[1:], present[:-1]
    same = stream.holder[here] == stream.holder[before]
    distance = np.full(len(stream), np.nan)
    distance[here[same]] = world.kilometres(
        stream.latitude[before[same]],
        stream.longitude[before[same]],
        stream.latitude[here[same]],
        stream.longitude[here[same]],
    )
    return distance


def _lose_some(
    table: pd.DataFrame, time_s: npt.NDArray[np.int64], rng: np.random.Generator
) -> None:
    """Blank what terminals, acquirers and feature stores lose; in place."""

    def some(share: float) -> npt.NDArray[np.bool_]:
        return rng.random(len(table)) < share

    # The feature store has outages, in which all velocity features are gone at once.
    outages = rng.random(DAYS * 24 + 48) < 0.006
    down = outages[np.minimum(time_s // HOUR_S, len(outages) - 1)]
    lost: dict[str, Any] = {
        "hour": some(0.003),
        "account_age_days": some(0.02),
        "tx_count_1h": down,
        "tx_count_24h": down,
        "amount_sum_24h": down,
        "amount_vs_usual": down,
        "distance_km_from_last": down | some(0.01),
    }
    for name, where in lost.items():
        table.loc[where, name] = np.float32(np.nan)
    for name, share in {"merchant_category": 0.015, "country": 0.008, "entry_mode": 0.005}.items():
        table.loc[some(share), name] = ""
