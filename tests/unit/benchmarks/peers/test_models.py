"""The models that peers are compared on."""

import pytest

from benchmarks.peers.models import MODELS, ROOT, transactions


def test_mlp_has_different_records_with_different_answers(mlp):
    assert len(set(map(str, mlp.records))) == len(mlp.records) == len(set(mlp.expected))
    assert all(0.0 < probability < 1.0 for probability in mlp.expected)


def test_mlp_is_a_repository_that_penstock_can_serve(mlp):
    assert mlp.path == mlp.repository / "mlp" / "1" / "model.onnx"
    assert (mlp.repository / "mlp" / "model.yaml").exists()


def test_transactions_are_the_same_for_the_same_seed():
    assert transactions(4, seed=1) == transactions(4, seed=1) != transactions(4, seed=2)


@pytest.mark.skipif(
    not (ROOT / "models/fraud/1/model.onnx").exists(), reason="models/fraud is not built"
)
def test_fraud_takes_every_field_of_a_transaction(tmp_path):
    fraud = MODELS["fraud"](tmp_path)

    assert set(fraud.session.inputs) == set(fraud.records[0])
    assert len(set(fraud.expected)) > 1


def test_fraud_says_what_to_do_when_it_is_not_built(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.peers.models.ROOT", tmp_path)

    with pytest.raises(FileNotFoundError, match="make models"):
        MODELS["fraud"](tmp_path)
