"""What every peer runs."""

import pytest


def test_predict_gives_each_record_its_own_answer_in_a_batch(mlp):
    answers = mlp.session.predict(mlp.records)

    assert [answer["probability"] for answer in answers] == pytest.approx(mlp.expected)


def test_predict_refuses_a_record_without_an_input(mlp):
    with pytest.raises(KeyError, match="x"):
        mlp.session.predict([{}])
