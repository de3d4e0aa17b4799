"""The comparison of an optimised transformer: what it says where there is none to compare."""

from benchmarks.context import Context
from benchmarks.scenarios import catalogue
from benchmarks.scenarios.sentences import SENTENCES, best_of
from benchmarks.subject import Launch


def test_repository_without_the_model_is_told_what_to_run(tmp_path):
    context = Context(tmp_path, Launch(tmp_path / "models"))

    measured = catalogue.run("sentences", context, {})

    assert "penstock optimize" in measured.unsupported


def test_sentences_are_all_of_about_the_same_length():
    assert {len(text.split()) for text in SENTENCES} <= set(range(11, 18))


def test_contenders_are_compared_at_the_level_that_suits_each():
    rates = {"": (700.0, 2000.0), "fp32.": (400.0, 250.0), "eager.": (50.0, 40.0)}
    metrics = {
        f"at_{level}.{name}rate_per_s.ok": rate
        for name, at in rates.items()
        for level, rate in zip((8, 32), at, strict=True)
    }

    assert best_of(metrics, (8, 32)) == {"best.vs_fp32": 5.0, "best.vs_eager": 40.0}
