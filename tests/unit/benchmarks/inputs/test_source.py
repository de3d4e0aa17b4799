"""Payloads come from the signature, from data, or from a recording."""

import json

import pytest

from benchmarks.inputs.source import Inputs, make_payloads


@pytest.fixture
def make(toy_server):
    def make_from(inputs, **changes):
        settings = {
            "model": "toy",
            "protocol": "http",
            "encoding": "json",
            "rows": 2,
            "count": 3,
            "seed": 1,
            **changes,
        }
        return make_payloads(inputs, toy_server, **settings)

    return make_from


def test_make_payloads_differ_and_are_the_same_for_the_same_seed(make):
    payloads = make(Inputs())

    assert len({payload.body for payload in payloads}) == 3
    assert payloads == make(Inputs())
    assert payloads != make(Inputs(), seed=2)


def test_make_payloads_picks_rows_of_evaluation_data(make, tmp_path):
    file = tmp_path / "data.jsonl"
    file.write_text('{"x": [1, 2, 3], "word": "only"}\n')

    (payload,) = make(Inputs(evaluation=file), count=1)

    x, word = json.loads(payload.body)["inputs"]
    assert (x["data"], word["data"]) == ([1, 2, 3, 1, 2, 3], ["only", "only"])


def test_make_payloads_sends_all_recorded_requests(make, tmp_path):
    file = tmp_path / "requests.jsonl"
    file.write_text('{"inputs": []}\n{"inputs": []}\n')

    payloads = make(Inputs(recorded=file), model="", count=9)

    assert [payload.path for payload in payloads] == ["/v2/models/toy/infer"] * 2
