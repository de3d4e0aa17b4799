import numpy as np
import pandas as pd
import pytest

from models.fraud import world
from models.fraud.generate import CATEGORIES, FEATURES, NUMBERS, generate


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return generate(20_000, seed=11)


def test_generate_gives_the_rows_and_columns_asked_for(table):
    assert len(table) == 20_000
    assert list(table.columns) == [*FEATURES, "is_fraud"]
    assert all(table[name].dtype == np.float32 for name in NUMBERS)


def test_generate_repeats_itself_when_the_seed_is_the_same():
    pd.testing.assert_frame_equal(generate(500, seed=5), generate(500, seed=5))
    assert not generate(500, seed=5).equals(generate(500, seed=6))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_generate_makes_about_one_percent_fraud(seed):
    assert 0.005 <= generate(20_000, seed)["is_fraud"].mean() <= 0.02


@pytest.mark.parametrize("rows", [1, 30, 700])
def test_generate_works_when_few_rows_are_asked_for(rows):
    assert len(generate(rows, seed=1)) == rows


def test_generate_loses_some_of_every_feature_but_the_amount_and_the_card(table):
    gaps = table[list(FEATURES)].isna() | (table[list(FEATURES)] == "")
    kept = {"amount", "card_country"}
    assert set(gaps.columns[~gaps.any()]) == kept
    assert gaps.mean().max() < 0.5


def test_generate_loses_velocity_features_together(table):
    down = table["tx_count_1h"].isna()
    assert down.any()
    others = ["tx_count_24h", "amount_sum_24h", "amount_vs_usual", "distance_km_from_last"]
    assert table.loc[down, others].isna().all(axis=None)


def test_generate_has_no_distance_online(table):
    assert table.loc[table["entry_mode"] == "online", "distance_km_from_last"].isna().all()


def test_generate_counts_velocity_without_the_transaction_itself(table):
    known = table.dropna(subset=["tx_count_1h"])
    assert (known["tx_count_1h"] <= known["tx_count_24h"]).all()
    assert (known.loc[known["tx_count_24h"] == 0, "amount_sum_24h"] == 0).all()
    assert (known.loc[known["tx_count_24h"] > 0, "amount_sum_24h"] > 0).all()


def test_generate_stays_within_the_ranges_of_the_features(table):
    assert (table["amount"] > 0).all()
    assert table["hour"].dropna().between(0, 23).all()
    for name in NUMBERS:
        assert (table[name].dropna() >= 0).all(), name
    assert set(table["merchant_category"]) == {*world.CATEGORY_NAMES, ""}
    assert set(table["country"]) <= {*world.COUNTRY_NAMES, ""}
    assert set(table["entry_mode"]) == {*world.ENTRY_MODES, ""}


def test_generate_spends_log_normally_by_category(table):
    median = table.groupby("merchant_category")["amount"].median()
    assert median["travel"] > 5 * median["transport"]
    logarithm = np.log(table.loc[table["merchant_category"] == "groceries", "amount"])
    assert abs(logarithm.skew()) < 0.3


def test_generate_leaves_traces_of_fraud(table):
    fraud, honest = table[table["is_fraud"] == 1], table[table["is_fraud"] == 0]
    assert fraud["amount"].median() > 1.5 * honest["amount"].median()
    assert fraud["distance_km_from_last"].median() > honest["distance_km_from_last"].median()


def test_world_measures_great_circles():
    berlin_to_paris = world.kilometres(*(np.array([x]) for x in (52.52, 13.405, 48.857, 2.352)))
    assert berlin_to_paris == pytest.approx(878, abs=2)


def test_categories_are_the_text_features():
    assert set(CATEGORIES) == set(FEATURES) - set(NUMBERS)
