"""How peers are asked, and where their answers are."""

import orjson
import pytest

from benchmarks.peers.routes import BENTOML_BATCH, BENTOML_ONE, OIP_V2, json_object

ANSWER = {"probability": 0.25, "label": 1}
TENSORS = [
    {"name": "label", "datatype": "INT64", "shape": [1, 1], "data": [1]},
    {"name": "probability", "datatype": "FP32", "shape": [1, 1], "data": [0.25]},
]


@pytest.mark.parametrize(
    ("route", "answer"),
    [
        (OIP_V2, {"outputs": TENSORS}),
        (json_object("/predict"), ANSWER),
        (BENTOML_ONE, ANSWER),
        (BENTOML_BATCH, [ANSWER]),
    ],
)
def test_route_finds_the_probability(route, answer):
    assert route.probability(answer) == 0.25


def test_oip_v2_asks_with_a_tensor_for_each_input(mlp):
    payload = OIP_V2.payload(mlp, mlp.records[0])
    (tensor,) = orjson.loads(payload.body)["inputs"]

    assert payload.path == "/v2/models/mlp/infer"
    assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("x", "FP32", [1, 30])
    assert tensor["data"] == mlp.records[0]["x"]


@pytest.mark.parametrize(
    ("route", "body"),
    [
        (json_object("/"), lambda record: record),
        (BENTOML_ONE, lambda record: {"record": record}),
        (BENTOML_BATCH, lambda record: {"records": [record]}),
    ],
)
def test_native_routes_send_the_same_numbers(mlp, route, body):
    assert orjson.loads(route.payload(mlp, mlp.records[1]).body) == body(mlp.records[1])
