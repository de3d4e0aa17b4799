"""How thieves behave: five patterns, each with its own tell, and one with none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.fraud import world
from models.fraud.world import DAY_S, HOUR_S, Cardholders, Floats, Ints, Stream

__all__ = ["fraud_stream"]

# Share of all transactions that are fraud, before labels get noisy.
FRAUD = 0.0105


def _categories(*names: str) -> Ints:
    return np.array([world.CATEGORY_NAMES.index(name) for name in names])


def _countries(*names: str) -> Ints:
    return np.array([world.COUNTRY_NAMES.index(name) for name in names])


FAR_AWAY = _countries("BR", "CN", "IN", "MX", "NG", "TH", "TR", "US")
SHOPS_OF_THIEVES = _countries("GB", "NG", "US", "CN", "DE", "TR")
RESALE = _categories("electronics", "gift_cards", "jewellery")

Episode = tuple[Ints, Floats, Ints, Ints, Ints]  # times, amounts, categories, countries, entries


def _at_hour(rng: np.random.Generator, start_s: int, mean_h: float, spread_h: float) -> int:
    hour = rng.normal(mean_h, spread_h) % 24
    return start_s // DAY_S * DAY_S + int(hour * HOUR_S)


def _card_testing(rng: np.random.Generator, start_s: int, home: int) -> Episode:
    """Is the number good? A burst of tiny online purchases, then something to sell."""
    tests, hauls = int(rng.integers(3, 9)), int(rng.integers(1, 3))
    count = tests + hauls
    times = start_s + np.cumsum(rng.integers(10, 400, count))
    amounts = np.concatenate((rng.uniform(0.5, 4.0, tests), rng.lognormal(np.log(260), 0.7, hauls)))
    categories = np.concatenate(
        (np.full(tests, _categories("digital_goods")[0]), rng.choice(RESALE, hauls))
    )
    country = np.full(count, rng.choice(SHOPS_OF_THIEVES))
    return times, amounts, categories, country, np.full(count, world.ONLINE)


def _cloned_card(rng: np.random.Generator, start_s: int, home: int) -> Episode:
    """A copied stripe, used far from its owner while that one shops at home."""
    count = int(rng.integers(1, 5))
    times = start_s + np.cumsum(rng.integers(300, 3 * HOUR_S, count))
    categories = rng.choice(np.append(RESALE, _categories("cash", "clothing", "fuel")), count)
    amounts = world.amounts(rng, categories) * rng.lognormal(0.4, 0.4, count)
    country = np.full(count, rng.choice(FAR_AWAY))
    entry = rng.choice((world.SWIPE, world.CHIP), count, p=(0.8, 0.2))
    return times, amounts, categories, country, entry


def _takeover(rng: np.random.Generator, start_s: int, home: int) -> Episode:
    """Stolen credentials: large online orders at night, more than the owner ever spends."""
    count = int(rng.integers(1, 4))
    times = _at_hour(rng, start_s, 2.5, 2.5) + np.cumsum(rng.integers(60, 2 * HOUR_S, count))
    categories = rng.choice(np.append(RESALE, _categories("travel")), count)
    amounts = rng.lognormal(np.log(380), 0.8, count)
    country = rng.choice(np.append(SHOPS_OF_THIEVES, home), count)
    return times, amounts, categories, country, np.full(count, world.ONLINE)


def _bust_out(rng: np.random.Generator, start_s: int, home: int) -> Episode:
    """An account opened to be emptied: big round purchases and cash in its first weeks."""
    count = int(rng.integers(2, 6))
    times = start_s + np.cumsum(rng.integers(HOUR_S, 20 * HOUR_S, count))
    categories = rng.choice(np.append(RESALE, _categories("cash")), count)
    amounts = np.round(rng.lognormal(np.log(320), 0.6, count), -1) + 10.0
    entry = world.entry_modes(rng, categories)
    return times, amounts, categories, np.full(count, home), entry


def _in_disguise(rng: np.random.Generator, start_s: int, home: int) -> Episode:
    """Shops, amounts and hours like everybody's: the features say nothing."""
    count = int(rng.integers(1, 3))
    times = _at_hour(rng, start_s, 14.5, 4.0) + np.cumsum(rng.integers(600, 9 * HOUR_S, count))
    categories = rng.integers(0, len(world.CATEGORY_NAMES), count)
    amounts = world.amounts(rng, categories) * rng.lognormal(0.2, 0.4, count)
    return times, amounts, categories, np.full(count, home), world.entry_modes(rng, categories)


# Pattern: its share of episodes on the first day and on the last. Thieves learn.
PATTERNS: dict[Callable[[np.random.Generator, int, int], Episode], tuple[float, float]] = {
    _card_testing: (0.17, 0.13),
    _cloned_card: (0.27, 0.22),
    _takeover: (0.28, 0.34),
    _bust_out: (0.10, 0.11),
    _in_disguise: (0.18, 0.20),
}


def fraud_stream(
    rng: np.random.Generator, holders: Cardholders, days: int, honest_rows: int
) -> Stream:
    """Episodes until their transactions are the ``FRAUD`` share of all."""
    patterns = list(PATTERNS)
    shares = np.array(list(PATTERNS.values()))
    newcomers = np.flatnonzero(holders.opened_days_ago < 0)
    established = np.flatnonzero(holders.opened_days_ago >= 0)
    wanted = max(1, round(honest_rows * FRAUD / (1 - FRAUD)))
    episodes: list[Episode] = []
    victims: list[int] = []
    rows = 0
    while rows < wanted:
        start_s = int(rng.integers(0, days * DAY_S))
        progress = start_s / (days * DAY_S)
        odds = shares[:, 0] * (1 - progress) + shares[:, 1] * progress
        pattern = patterns[rng.choice(len(patterns), p=odds / odds.sum())]
        victim = int(rng.choice(established))
        if pattern is _bust_out and len(newcomers):
            victim = int(rng.choice(newcomers))
            opened = -int(holders.opened_days_ago[victim])
            start_s = (opened + int(rng.integers(0, 15))) * DAY_S + 10 * HOUR_S
        episode = pattern(rng, start_s, int(holders.country[victim]))
        episodes.append(episode)
        victims.append(victim)
        rows += len(episode[0])

    times, amounts, categories, countries, entries = (
        np.concatenate(column) for column in zip(*episodes, strict=True)
    )
    holder = np.repeat(victims, [len(episode[0]) for episode in episodes])
    latitude, longitude = world.places(rng, countries)
    at_home = countries == holders.country[holder]
    nearby = rng.normal(0, 0.3, (2, rows))
    return Stream(
        holder=holder,
        time_s=times,
        amount=np.maximum(amounts, 0.5),
        category=categories,
        country=countries,
        entry=entries,
        latitude=np.where(at_home, holders.latitude[holder] + nearby[0], latitude),
        longitude=np.where(at_home, holders.longitude[holder] + nearby[1], longitude),
        fraud=np.ones(rows, dtype=np.bool_),
    )
