"""A context knows which servers a scenario may start."""

from dataclasses import replace

import pytest

from benchmarks.context import Context
from benchmarks.models import SMALL
from benchmarks.subject import Given, UnsupportedError


def test_reference_needs_a_baseline(toy_context):
    with pytest.raises(UnsupportedError, match="no baseline"), toy_context.reference():
        pass


def test_launch_needs_a_server_that_is_ours_to_start(tmp_path):
    context = Context(tmp_path, Given("a:1"))

    with pytest.raises(UnsupportedError, match="was not started by this run"):
        context.launch()


def test_candidate_and_reference_run_side_by_side(toy_context):
    context = replace(toy_context, baseline=toy_context.subject)

    with context.candidate() as candidate, context.reference() as baseline:
        assert candidate.http_port != baseline.http_port


def test_serving_puts_a_benchmark_model_in_place_of_the_repository(toy_context):
    with toy_context.serving(SMALL) as server:
        assert server.http_port

    assert (toy_context.folder / "repository-small" / "small" / "1" / "model.onnx").exists()
