"""The world the transactions happen in: countries, shops, honest cardholders and their habits."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

HOUR_S = 3600
DAY_S = 24 * HOUR_S

# ISO 3166 code: latitude, longitude, share of cardholders, share of foreign trips.
COUNTRIES = {
    "AE": (25.2, 55.3, 0.00, 0.03),
    "AT": (48.2, 16.4, 0.05, 0.08),
    "AU": (-33.9, 151.2, 0.00, 0.01),
    "BE": (50.8, 4.4, 0.06, 0.05),
    "BR": (-23.5, -46.6, 0.00, 0.01),
    "CH": (47.4, 8.5, 0.04, 0.07),
    "CN": (31.2, 121.5, 0.00, 0.01),
    "DE": (51.2, 9.0, 0.26, 0.10),
    "ES": (40.4, -3.7, 0.12, 0.14),
    "FR": (47.0, 2.4, 0.16, 0.11),
    "GB": (52.3, -1.2, 0.09, 0.08),
    "IN": (19.1, 72.9, 0.00, 0.01),
    "IT": (43.0, 12.0, 0.10, 0.12),
    "MX": (19.4, -99.1, 0.00, 0.01),
    "NG": (6.5, 3.4, 0.00, 0.00),
    "NL": (52.2, 5.3, 0.07, 0.05),
    "PL": (52.0, 19.4, 0.05, 0.04),
    "TH": (13.8, 100.5, 0.00, 0.02),
    "TR": (41.0, 29.0, 0.00, 0.03),
    "US": (39.0, -95.0, 0.00, 0.03),
}
COUNTRY_NAMES = tuple(COUNTRIES)
_LATITUDE, _LONGITUDE, _HOLDERS, _TRIPS = np.array(list(COUNTRIES.values())).T

# Category: median amount in EUR, spread of its logarithm, share of purchases, share online.
CATEGORY_TABLE = {
    "cash": (90.0, 0.6, 0.05, 0.00),
    "clothing": (48.0, 0.8, 0.08, 0.45),
    "digital_goods": (9.0, 0.8, 0.09, 1.00),
    "electronics": (110.0, 1.1, 0.04, 0.60),
    "fuel": (52.0, 0.4, 0.08, 0.00),
    "gift_cards": (40.0, 0.7, 0.01, 0.70),
    "groceries": (27.0, 0.8, 0.30, 0.06),
    "health": (24.0, 0.8, 0.06, 0.15),
    "jewellery": (150.0, 1.0, 0.01, 0.25),
    "restaurants": (22.0, 0.7, 0.17, 0.10),
    "transport": (6.0, 0.9, 0.08, 0.35),
    "travel": (190.0, 1.0, 0.03, 0.80),
}
CATEGORY_NAMES = tuple(CATEGORY_TABLE)
_MEDIAN, _SPREAD, _PURCHASES, _ONLINE_SHARE = np.array(list(CATEGORY_TABLE.values())).T

ENTRY_MODES = ("chip", "contactless", "online", "swipe")
CHIP, CONTACTLESS, ONLINE, SWIPE = range(4)


@dataclass(frozen=True)
class Stream:
    """Transactions, one array a property; all have the same length."""

    holder: Ints
    time_s: Ints
    amount: Floats
    category: Ints
    country: Ints
    entry: Ints
    latitude: Floats
    longitude: Floats
    fraud: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.holder)

    def take(self, index: Array) -> Stream:
        return Stream(*(getattr(self, field.name)[index] for field in fields(self)))

    def extended(self, other: Stream) -> Stream:
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return Stream(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True)
class Cardholders:
    """Who they are, one array a property."""

    country: Ints
    latitude: Floats
    longitude: Floats
    opened_days_ago: Ints  # at the start of the stream; negative: not yet open
    activity: Floats  # relative number of purchases; mean 1
    spending: Floats  # factor on amounts
    night_owl_h: Floats  # how much later than others they shop
    trip_start_s: Ints
    trip_end_s: Ints
    trip_country: Ints

    def __len__(self) -> int:
        return len(self.country)


def cardholders(rng: np.random.Generator, count: int, days: int) -> Cardholders:
    country = rng.choice(len(COUNTRIES), count, p=_HOLDERS / _HOLDERS.sum())
    age = rng.exponential(1100, count).astype(np.int64)
    newcomers = rng.random(count) < 0.06
    age[newcomers] = -rng.integers(0, days, int(newcomers.sum()))
    # A third of them are away once, for 2 to 16 days.
    start = rng.integers(0, days * DAY_S, count)
    length = np.where(rng.random(count) < 0.33, rng.integers(2 * DAY_S, 16 * DAY_S, count), 0)
    return Cardholders(
        country=country,
        latitude=_LATITUDE[country] + rng.normal(0, 1.2, count),
        longitude=_LONGITUDE[country] + rng.normal(0, 1.2, count),
        opened_days_ago=age,
        activity=rng.gamma(2.0, 0.5, count),
        spending=rng.lognormal(0, 0.45, count),
        night_owl_h=rng.normal(0, 1.3, count),
        trip_start_s=start,
        trip_end_s=start + length,
        trip_country=rng.choice(len(COUNTRIES), count, p=_TRIPS / _TRIPS.sum()),
    )


def honest_stream(
    rng: np.random.Generator, holders: Cardholders, days: int, mean_rows: int
) -> Stream:
    """What the cardholders buy themselves: about ``mean_rows`` each."""
    holder = np.repeat(np.arange(len(holders)), rng.poisson(mean_rows * holders.activity))
    count = len(holder)
    opened = np.maximum(0, -holders.opened_days_ago[holder])
    day = opened + (rng.random(count) * (days - opened)).astype(np.int64)
    hour = (rng.normal(14.5, 3.9, count) + holders.night_owl_h[holder]) % 24
    time_s = day * DAY_S + (hour * HOUR_S).astype(np.int64)
    # Purchases come in trips to town: some follow another of the same person within minutes.
    follows = np.flatnonzero(rng.random(count - 1) < 0.16) + 1
    follows = follows[holder[follows] == holder[follows - 1]]
    time_s[follows] = time_s[follows - 1] + rng.integers(60, 2400, len(follows))

    category = rng.choice(len(CATEGORY_TABLE), count, p=_PURCHASES / _PURCHASES.sum())
    entry = entry_modes(rng, category)
    away = (time_s >= holders.trip_start_s[holder]) & (time_s < holders.trip_end_s[holder])
    country = np.where(away, holders.trip_country[holder], holders.country[holder])
    # Online shops are anywhere, mostly at home.
    abroad = (entry == ONLINE) & (rng.random(count) < 0.2)
    country[abroad] = rng.choice(len(COUNTRIES), int(abroad.sum()), p=_TRIPS / _TRIPS.sum())
    latitude, longitude = places(rng, country)
    at_home = country == holders.country[holder]
    near = np.where(rng.random(count) < 0.95, 0.05, 0.8)  # degrees: around town, or a day trip
    home_latitude = holders.latitude[holder] + rng.normal(0, 1, count) * near
    home_longitude = holders.longitude[holder] + rng.normal(0, 1, count) * near
    return Stream(
        holder=holder,
        time_s=time_s,
        amount=amounts(rng, category) * holders.spending[holder],
        category=category,
        country=country,
        entry=entry,
        latitude=np.where(at_home, home_latitude, latitude),
        longitude=np.where(at_home, home_longitude, longitude),
        fraud=np.zeros(count, dtype=np.bool_),
    )


def amounts(rng: np.random.Generator, category: Ints) -> Floats:
    """Log-normal around each category's median, in EUR."""
    drawn = _MEDIAN[category] * np.exp(rng.normal(0, 1, len(category)) * _SPREAD[category])
    floored: Floats = np.maximum(drawn, 0.5)
    return floored


def entry_modes(rng: np.random.Generator, category: Ints) -> Ints:
    """Online as often as the category is bought there; else mostly contactless."""
    in_shop = rng.choice((CHIP, CONTACTLESS, SWIPE), len(category), p=(0.35, 0.62, 0.03))
    return np.where(rng.random(len(category)) < _ONLINE_SHARE[category], ONLINE, in_shop)


def places(rng: np.random.Generator, country: Ints) -> tuple[Floats, Floats]:
    """Somewhere in each country."""
    count = len(country)
    return (
        _LATITUDE[country] + rng.normal(0, 1.0, count),
        _LONGITUDE[country] + rng.normal(0, 1.0, count),
    )


def kilometres(
    from_latitude: Floats, from_longitude: Floats, to_latitude: Floats, to_longitude: Floats
) -> Floats:
    """Great-circle distance (haversine)."""
    phi_1, lambda_1, phi_2, lambda_2 = np.radians(
        [from_latitude, from_longitude, to_latitude, to_longitude]
    )
    half = (
        np.sin((phi_2 - phi_1) / 2) ** 2
        + np.cos(phi_1) * np.cos(phi_2) * np.sin((lambda_2 - lambda_1) / 2) ** 2
    )
    distance: Floats = 2 * 6371.0 * np.arcsin(np.sqrt(np.minimum(half, 1.0)))
    return distance
