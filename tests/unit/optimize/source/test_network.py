from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from optimize.errors import OptimizeError
from optimize.source.network import Network, as_network
from optimize.source.reference import make_reference
from tests.support import text_models

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(2)


class Returns(torch.nn.Module):  # type: ignore[name-defined, misc]
    """Answers whatever a function makes of ``x``."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any, scale: Any = None) -> Any:
        return self.function(x if scale is None else x * scale)


class Words(torch.nn.Module):  # type: ignore[name-defined, misc]
    """The mean of the vectors of a text's tokens, plus an offset of the row."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding.from_pretrained(torch.from_numpy(text_models.vectors()))

    def forward(self, input_ids: Any, attention_mask: Any, offset: Any) -> Any:
        weights = attention_mask.unsqueeze(-1).to(torch.float32)
        mean = (self.table(input_ids) * weights).sum(1) / weights.sum(1)
        return mean + offset


class Pair(NamedTuple):
    first: Any
    second: Any


def network(model: Any, folder: Path = Path(), **known: Any) -> Network:
    made = as_network(model, folder, known.get("outputs", ()), known.get("variable", {}))
    assert isinstance(made, Network)
    return made


@pytest.fixture
def words(tmp_path: Path) -> Network:
    text_models.tokenizer(tmp_path / "words.json", "right")
    return network({"module": Words(), "tokenizer": "words.json"}, tmp_path)


@pytest.mark.parametrize(
    ("answer", "declared", "names"),
    [
        (lambda x: x, (), ["output"]),
        (lambda x: x, ("score",), ["score"]),
        (lambda x: (x, x), (), ["output_0", "output_1"]),
        (lambda x: (x, x), ("b", "a"), ["b", "a"]),
        (lambda x: Pair(x, x), (), ["first", "second"]),
        (lambda x: {"z": x, "a": x}, ("c",), ["z", "a"]),
    ],
)
def test_outputs_have_the_names_of_the_module_or_of_model_yaml(
    answer: Any, declared: tuple[str, ...], names: list[str]
) -> None:
    made = network(Returns(answer), outputs=declared)
    assert list(made.answer({"x": np.ones((2, 3), np.float32)})) == names


def test_inputs_are_the_arguments_of_forward_in_its_order() -> None:
    made = network(Returns(torch.relu), variable={"x": (1,)})
    features = {"scale": RNG.normal(size=(4, 1)), "x": RNG.normal(size=(4, 3))}
    inputs = made.inputs(features)
    assert [(each.name, each.datatype, each.shape) for each in inputs] == [
        ("x", "FP32", (-1, -1)),
        ("scale", "FP32", (-1, 1)),
    ]
    assert [each.name for each in made.inputs(features["x"])] == ["x"]


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        ({"x": np.ones((2, 2)), "y": np.ones(2)}, "the data have 'y'; forward takes x, scale"),
        ({"scale": np.ones((2, 2))}, "the data lack 'x'"),
        (pd.DataFrame({"age": [1.0]}), "the data have 'age'"),
        ([[1.0]], "its data are a list"),
    ],
)
def test_data_that_forward_does_not_take_are_refused(features: Any, problem: str) -> None:
    with pytest.raises(OptimizeError, match=problem):
        network(Returns(torch.relu)).inputs(features)


def test_text_comes_in_place_of_tokens_and_other_inputs_stay(words: Network) -> None:
    features = {"text": ["red blue", "green"], "offset": np.ones((2, 1))}
    text, offset = words.inputs(features)
    assert (text.name, text.datatype, text.shape, text.missing) == ("text", "BYTES", (-1, 1), "")
    assert (offset.name, offset.datatype) == ("offset", "FP32")
    got = words.answer(words.arrays(features))["output"]
    rows = text_models.vectors()[[2, 5, 3]]
    np.testing.assert_allclose(got[1], rows.mean(axis=0) + 1, atol=1e-6)


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ({"module": 3}, "`module` is no torch.nn.Module"),
        ({"module": Words(), "tokeniser": "x"}, "the mapping has 'tokeniser'"),
        ({"module": Words(), "tokenizer": "absent.json"}, "there is no tokenizer"),
        ({"module": Words(), "tokenizer": "{}"}, "the tokenizer is no tokenizer"),
    ],
)
def test_source_says_what_is_wrong_with_a_mapping(
    tmp_path: Path, mapping: Any, problem: str
) -> None:
    with pytest.raises(OptimizeError, match=problem):
        as_network(mapping, tmp_path, (), {})


def test_tokenizer_needs_a_module_of_tokens(tmp_path: Path) -> None:
    text_models.tokenizer(tmp_path / "t.json")
    with pytest.raises(OptimizeError, match="forward takes no input_ids"):
        network({"module": Returns(torch.relu), "tokenizer": "t.json"}, tmp_path)


def test_model_that_is_no_network_is_left_as_it_is(tmp_path: Path) -> None:
    for model in (b"onnx", {"onnx": b"", "predict": print}, object()):
        assert as_network(model, tmp_path, (), {}) is model


def reference_of(made: Network, features: Any, folder: Path) -> Any:
    from optimize.convert.torch_module import export_program, write_onnx
    from optimize.sidecar import write_tokenizer

    write_onnx(made, export_program(made, features), folder / "model.onnx")
    if made.text is not None:
        write_tokenizer(folder, made.text.tokenizer, made.text.name, made.text.max_length)
    rows = len(next(iter(features.values())))
    return make_reference(made, features, np.zeros(rows), folder / "model.onnx", {}, {}, 0)


def test_edge_rows_of_whole_numbers_are_values_that_were_seen(tmp_path: Path) -> None:
    made = network(Returns(lambda x: torch.nn.functional.one_hot(x, 10).sum(1).to(torch.float32)))
    ids = RNG.integers(2, 8, (20, 3))
    reference = reference_of(made, {"x": ids}, tmp_path)
    assert "x[0] is the largest seen" in reference.edge_labels
    edges = reference.edges["x"]
    assert edges.min() >= ids.min() and edges.max() <= ids.max()
    assert reference.refused == 0


def test_edge_rows_of_texts_are_empty_foreign_long_and_null(words: Network, tmp_path: Path) -> None:
    features = {"text": ["red", "blue red", "green"], "offset": np.ones((3, 1))}
    reference = reference_of(words, features, tmp_path)
    for what in ("null", "empty string", "non-ASCII", "very long text", "unknown category"):
        assert f"text is {what}" in reference.edge_labels
    assert np.isfinite(reference.edge_answers["output"]).all()


def test_rows_of_which_a_network_makes_no_number_are_refused(tmp_path: Path) -> None:
    made = network(Returns(lambda x: x * 2))
    reference = reference_of(made, {"x": RNG.normal(size=(8, 2))}, tmp_path)
    assert reference.refused > 0
    assert not any("inf" in label for label in reference.edge_labels)


def test_evaluation_rows_must_have_numbers_for_answers(tmp_path: Path) -> None:
    made = network(Returns(torch.log))
    with pytest.raises(OptimizeError, match="is NaN or infinite on the evaluation data"):
        reference_of(made, {"x": np.array([[1.0], [0.0], [2.0]])}, tmp_path)
