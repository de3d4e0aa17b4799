"""What a model folder says of itself agrees with the graph that its script exports."""

import json
import math

import numpy as np
import onnx
import pytest
import yaml
from sklearn.datasets import load_digits

from models import export
from models.digits import train as digits
from serve.config import ModelConfig
from serve.tensors import DATATYPES

ELEMENT_TYPES = {
    "FP32": onnx.TensorProto.FLOAT,
    "INT64": onnx.TensorProto.INT64,
    "BYTES": onnx.TensorProto.STRING,
}


@pytest.fixture(scope="module")
def graphs(small_fraud):
    images, labels = load_digits(return_X_y=True)
    network = digits.train(images[:600].astype(np.float32), labels[:600])
    return {"fraud": small_fraud.model, "digits": digits.to_onnx(network)}


def values(tensors):
    return {
        tensor.name: (
            tensor.type.tensor_type.elem_type,
            [dim.dim_value or -1 for dim in tensor.type.tensor_type.shape.dim],
        )
        for tensor in tensors
    }


def config(models_folder, name):
    return ModelConfig.model_validate(
        yaml.safe_load((models_folder / name / "model.yaml").read_text())
    )


def request(models_folder, name):
    return json.loads((models_folder / name / "request.json").read_text())


def feed(body, settings, graph):
    """The inputs of a request, gaps filled by the defaults."""
    given = {tensor["name"]: tensor for tensor in body["inputs"]}
    feed = {}
    for name, (element_type, _) in values(onnx.load_from_string(graph).graph.input).items():
        tensor = given.get(name, {"data": [None], "shape": [1, 1]})
        default = settings.inputs[name].default
        data = [default if item is None else item for item in tensor["data"]]
        dtype = object if element_type == ELEMENT_TYPES["BYTES"] else DATATYPES["FP32"].dtype
        feed[name] = np.array(data, dtype=dtype).reshape(tensor["shape"])
    return feed


@pytest.mark.parametrize("name", ["fraud", "digits"])
def test_model_yaml_agrees_with_the_graph(models_folder, graphs, name):
    settings = config(models_folder, name)
    graph = onnx.load_from_string(graphs[name]).graph
    assert settings.owner and settings.description
    assert set(settings.inputs) == {value.name for value in graph.input}
    outputs = values(graph.output)
    assert set(settings.outputs) == set(outputs)
    for output, said in settings.outputs.items():
        element_type, shape = outputs[output]
        assert said.shape is None or list(said.shape) == shape
        assert said.datatype is None or ELEMENT_TYPES[said.datatype] == element_type
        assert not said.labels or len(said.labels) == shape[-1]


def test_fraud_yaml_has_a_default_for_every_feature(models_folder, graphs):
    settings = config(models_folder, "fraud")
    for name, (element_type, _) in values(
        onnx.load_from_string(graphs["fraud"]).graph.input
    ).items():
        default = settings.inputs[name].default
        if element_type == ELEMENT_TYPES["BYTES"]:
            assert default == ""
        else:
            assert isinstance(default, float) and math.isnan(default)


def test_digits_yaml_labels_the_probabilities(models_folder):
    labels = config(models_folder, "digits").outputs["probabilities"].labels
    assert labels == tuple(str(digit) for digit in range(10))


@pytest.mark.parametrize("name", ["fraud", "digits"])
def test_request_fits_the_signature(models_folder, graphs, name):
    wanted = values(onnx.load_from_string(graphs[name]).graph.input)
    for tensor in request(models_folder, name)["inputs"]:
        element_type, shape = wanted[tensor["name"]]
        assert ELEMENT_TYPES[tensor["datatype"]] == element_type
        assert tensor["shape"] == [1, *shape[1:]]
        assert len(tensor["data"]) == math.prod(tensor["shape"])


@pytest.mark.parametrize("name", ["fraud", "digits"])
def test_request_is_within_the_ranges(models_folder, name):
    settings = config(models_folder, name)
    for tensor in request(models_folder, name)["inputs"]:
        low, high = settings.inputs[tensor["name"]].range or (None, None)
        for item in tensor["data"]:
            assert item is None or low is None or item >= low
            assert item is None or high is None or item <= high


def test_fraud_request_leaves_one_feature_out_and_one_null(models_folder, graphs):
    tensors = request(models_folder, "fraud")["inputs"]
    given = {tensor["name"] for tensor in tensors}
    assert set(values(onnx.load_from_string(graphs["fraud"]).graph.input)) - given
    assert any(tensor["data"] == [None] for tensor in tensors)


def test_fraud_request_gets_a_score(models_folder, graphs):
    settings, body = config(models_folder, "fraud"), request(models_folder, "fraud")
    answers = export.run(graphs["fraud"], feed(body, settings, graphs["fraud"]))
    assert 0.0 < answers["probability"][0, 0] < 1.0


def test_digits_request_is_read_as_the_seven_it_shows(models_folder, graphs):
    settings, body = config(models_folder, "digits"), request(models_folder, "digits")
    answers = export.run(graphs["digits"], feed(body, settings, graphs["digits"]))
    assert answers["digit"].tolist() == [7]
