"""The comparison of an optimised transformer: what it says where there is none to compare."""

from benchmarks.context import Context
from benchmarks.scenarios import catalogue
from benchmarks.scenarios.sentences import SENTENCES
from benchmarks.subject import Launch


def test_repository_without_the_model_is_told_what_to_run(tmp_path):
    context = Context(tmp_path, Launch(tmp_path / "models"))

    measured = catalogue.run("sentences", context, {})

    assert "penstock optimize" in measured.unsupported


def test_sentences_are_all_of_about_the_same_length():
    assert {len(text.split()) for text in SENTENCES} <= set(range(11, 18))
