"""What the sentence embedding is judged by, and that it learns from nothing of it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[3] / "models" / "minilm"
RNG = np.random.default_rng(6)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"minilm_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def corpus() -> ModuleType:
    return load("corpus")


@pytest.fixture(scope="module")
def metrics() -> ModuleType:
    return load("metrics")


def vectors(rows: int) -> np.ndarray:
    made = RNG.normal(0, 1, (rows, 16)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_judged_texts_are_pairs_of_modules_that_nothing_is_learned_from(corpus: ModuleType) -> None:
    texts, pair = corpus.judged()
    assert len(texts) == len(pair) == 2 * corpus.JUDGED_PAIRS
    assert (pair[::2] == -pair[1::2]).all() and len(np.unique(pair)) == len(pair)
    assert set(texts).isdisjoint(corpus.training_texts())
    assert all(not corpus.held_out(each.module) for each in corpus.training_pairs())
    assert (texts, pair.tolist()) == (corpus.judged()[0], corpus.judged()[1].tolist())


def test_query_says_nothing_of_its_document_but_what_it_does(corpus: ModuleType) -> None:
    by_query = {each.query: each for each in corpus.pairs()}
    assert len(by_query) == len(corpus.pairs()) > 1000
    for query, each in by_query.items():
        assert query not in each.document
        assert each.document.startswith(each.module)


def test_recall_is_one_where_each_finds_its_own_and_less_where_not(metrics: ModuleType) -> None:
    own = vectors(20)
    pair = np.stack([np.arange(1, 21), -np.arange(1, 21)], axis=1).ravel()
    prediction = np.repeat(own, 2, axis=0)
    target = np.column_stack([pair, prediction])
    assert (metrics.recall_at_1(target, prediction) == 1).all()
    swapped = prediction.copy()
    swapped[[1, 3]] = swapped[[3, 1]]
    found = metrics.recall_at_1(target, swapped)
    assert np.flatnonzero(found == 0).tolist() == [0, 1, 2, 3]
    assert metrics.recall_at_10(target, swapped).mean() >= found.mean()


def test_rank_correlation_is_that_of_spearman(metrics: ModuleType) -> None:
    from scipy.stats import spearmanr

    teacher, student = vectors(30), vectors(30)
    target = np.column_stack([np.zeros(30), teacher])
    got = metrics.rank_correlation(target, student)
    others = np.arange(30) != 4
    wanted = spearmanr((teacher[others] @ teacher[4]), (student[others] @ student[4]))
    assert got[4] == pytest.approx(wanted.statistic, abs=1e-6)
    assert metrics.rank_correlation(target, teacher) == pytest.approx(np.ones(30))


def test_request_is_what_the_served_model_takes() -> None:
    import json

    (text,) = json.loads((FOLDER / "request.json").read_text())["inputs"]
    assert (text["name"], text["datatype"]) == ("text", "BYTES")
    assert text["shape"] == [len(text["data"]), 1]
