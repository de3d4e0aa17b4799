"""What a replica can do, from a profile or from a figure."""

import json

import pytest

from benchmarks.autoscaling.capacity import Capacity, given, of_profile
from serve.config import ModelConfig
from tests.support import onnx_models

MS = 1_000_000
PROFILE = {1: 4 * MS, 8: 8 * MS, 16: 12 * MS}


def capacity(profile=None, **settings):
    return Capacity(profile or PROFILE, ModelConfig.model_validate(settings), "made up")


def test_capacity_is_that_of_the_best_batch_on_every_slot():
    found = capacity(resources={"instances": 2})
    assert (found.best_rows, found.slots) == (16, 2)
    assert found.per_s == pytest.approx(2 * 16 / 0.012)


def test_settings_keep_batches_small():
    assert capacity(batching={"max_batch_size": 8}).best_rows == 8
    assert capacity(slo={"latency_ms": 20}).best_rows == 8


def test_batches_grow_with_the_rate_up_to_the_best():
    found = capacity()
    assert found.batch(10) == (1, 0.004)
    rows, batch_s = found.batch(800)
    assert 4 <= rows <= 8
    assert batch_s * 800 == pytest.approx(rows, abs=1)
    assert found.batch(1e6) == (16, 0.012)


def test_waiting_grows_with_the_rate_and_shrinks_with_replicas():
    found = given(1000, ModelConfig())
    at = {rate: found.wait(rate, 1) for rate in (100, 500, 900)}
    means = [waits * mean for waits, mean in at.values()]
    assert means == sorted(means)
    # A queue of one slot and even service: rho / (1 - rho) / 2 services.
    assert means[1] == pytest.approx(0.5 / 0.5 / 2 * 0.001, rel=0.01)
    waits, mean = found.wait(1000, 2)
    assert waits * mean < means[1]


def test_slot_that_always_has_the_next_batch_makes_everybody_wait_for_half_of_one():
    found = capacity()
    waits, mean_s = found.wait(800, 1)
    assert waits == 1
    assert mean_s >= found.batch(800)[1] / 2


@pytest.mark.parametrize("per_s", [0, -1, float("inf")])
def test_figure_that_is_none_is_refused(per_s):
    with pytest.raises(ValueError, match="--qps"):
        given(per_s, ModelConfig())


def test_profile_of_the_newest_version_is_taken(tmp_path):
    folder = tmp_path / "m"
    onnx_models.identity(folder / "1/model.onnx")
    with pytest.raises(ValueError, match=r"no measured profile.*--qps"):
        of_profile(folder, ModelConfig())
    rows = [
        {"batch": batch, "count": 9, "p50_us": us, "p95_us": us, "p99_us": us}
        for batch, us in ((1, 100), (16, 400))
    ]
    profile = {"hardware_key": "cpu-x", "intra_op_threads": 1, "rows": rows}
    size = (folder / "1/model.onnx").stat().st_size
    artefact = {"path": "model.onnx", "sha256": "0" * 64, "bytes": size}
    manifest = {
        "schema_version": 1,
        "name": "m",
        "version": 1,
        "created": "2026-01-01",
        "signature": {"inputs": [], "outputs": []},
        "files": [artefact],
        "profiles": [profile],
    }
    (folder / "1/manifest.json").write_text(json.dumps(manifest))
    found = of_profile(folder, ModelConfig())
    assert (found.best_rows, round(found.per_s)) == (16, 40_000)
    assert "version 1, measured on cpu-x" in found.origin


def test_model_without_a_version_is_told_what_else_there_is(tmp_path):
    (tmp_path / "model.yaml").write_text("owner: me\n")
    with pytest.raises(ValueError, match="--qps"):
        of_profile(tmp_path, ModelConfig())
