from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from serve.backends.base import BackendSource
from serve.backends.signature import ArtefactTensor, declared_signature, reconcile, settings_file
from serve.errors import RepositoryError
from serve.tensors import Signature, TensorSpec

MakeSource = Callable[..., BackendSource]

ROWS = ArtefactTensor("x", "FP32", (-1, 4))
SCORE = ArtefactTensor("score", "FP32", (-1, 1))
FIXED = ArtefactTensor("x", "FP32", (1, 4))


def merge(
    source: BackendSource, x: ArtefactTensor = ROWS, score: ArtefactTensor = SCORE
) -> Signature:
    return reconcile(source, [x], [score])


def test_reconcile_takes_the_artefact_as_it_is_when_nothing_is_set(make_source: MakeSource) -> None:
    assert merge(make_source()) == Signature(
        (TensorSpec("x", "FP32", (-1, 4)),), (TensorSpec("score", "FP32", (-1, 1)),), batched=True
    )


@pytest.mark.parametrize(
    ("x", "score", "limit", "batched"),
    [
        ((-1, 4), (-1, 1), None, True),
        ((-1, 4), (-1, 1), 8, True),
        ((-1, 4), (-1, 1), 0, False),
        ((1, 4), (-1, 1), None, False),
        ((-1, 4), (1,), None, False),
        ((-1, 4), (), None, False),
        ((), (-1,), None, False),
    ],
)
def test_reconcile_is_batched_only_if_every_first_dimension_is_variable(
    make_source: MakeSource,
    x: tuple[int, ...],
    score: tuple[int, ...],
    limit: int | None,
    batched: bool,
) -> None:
    source = make_source(batching={"max_batch_size": limit})
    tensors = ArtefactTensor("x", "FP32", x), ArtefactTensor("score", "FP32", score)
    assert merge(source, *tensors).batched is batched


@pytest.mark.parametrize("settings", [{}, {"inputs": {"x": {"shape": [8, 4]}}}])
def test_reconcile_refuses_a_batch_size_when_the_first_dimension_is_fixed(
    make_source: MakeSource, settings: dict[str, Any]
) -> None:
    source = make_source(batching={"max_batch_size": 8}, **settings)
    x = ROWS if settings else FIXED
    with pytest.raises(RepositoryError, match=r"max_batch_size.*'x'.*dynamic batch") as caught:
        merge(source, x)
    assert caught.value.field == "batching.max_batch_size"


@pytest.mark.parametrize(
    ("settings", "field", "says"),
    [
        ({"inputs": {"z": {}}}, "inputs.z", "it has: x"),
        ({"outputs": {"z": {}}}, "outputs.z", "it has: score"),
        ({"inputs": {"x": {"datatype": "INT64"}}}, "inputs.x.datatype", "it is FP32"),
        ({"inputs": {"x": {"shape": [-1, 5]}}}, "inputs.x.shape", r"it is \[-1, 4\]"),
        ({"inputs": {"x": {"shape": [-1, -1]}}}, "inputs.x.shape", "not the reverse"),
        ({"inputs": {"x": {"shape": [-1]}}}, "inputs.x.shape", r"it is \[-1, 4\]"),
        ({"inputs": {"x": {"shape": [-2, 4]}}}, "inputs.x.shape", "negative"),
        ({"outputs": {"score": {"shape": [-1, 2]}}}, "outputs.score.shape", r"\[-1, 1\]"),
        ({"inputs": {"x": {"default": "many"}}}, "inputs.x.default", "the string 'many'"),
        ({"inputs": {"x": {"default": 7, "range": [0, 1]}}}, "inputs.x.default", "outside"),
    ],
)
def test_reconcile_names_what_contradicts_the_artefact(
    make_source: MakeSource, settings: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(RepositoryError, match=says) as caught:
        merge(make_source(**settings))
    assert caught.value.field == field
    assert caught.value.path.endswith("fraud/model.yaml")
    assert caught.value.remedy


def test_reconcile_lets_settings_be_more_precise(make_source: MakeSource) -> None:
    source = make_source(inputs={"x": {"shape": [-1, 16], "datatype": "FP32"}})
    wide = ArtefactTensor("x", "FP32", (-1, -1))
    assert merge(source, wide).inputs[0].shape == (-1, 16)


def test_reconcile_takes_a_shape_from_the_settings_when_the_artefact_has_none(
    make_source: MakeSource,
) -> None:
    source = make_source(outputs={"score": {"shape": [-1, 3]}})
    signature = merge(source, score=ArtefactTensor("score", "FP32", None))
    assert signature.outputs[0].shape == (-1, 3)
    assert signature.batched


def test_reconcile_believes_the_settings_that_an_output_of_one_has_rows(
    make_source: MakeSource,
) -> None:
    source = make_source(outputs={"score": {"shape": [-1]}}, batching={"max_batch_size": 8})
    assert merge(source, score=ArtefactTensor("score", "INT64", (1,))).batched
    with pytest.raises(RepositoryError, match="it is \\[2\\]"):
        merge(source, score=ArtefactTensor("score", "INT64", (2,)))


def test_reconcile_asks_for_a_shape_when_nobody_gives_one(make_source: MakeSource) -> None:
    with pytest.raises(RepositoryError, match="gives this tensor no shape") as caught:
        merge(make_source(), score=ArtefactTensor("score", "FP32", None))
    assert caught.value.field == "outputs.score.shape"


def test_reconcile_makes_an_input_with_a_default_optional(make_source: MakeSource) -> None:
    assert merge(make_source(inputs={"x": {"default": float("nan")}})).inputs[0].optional
    assert not merge(make_source()).inputs[0].optional


@pytest.mark.parametrize(
    ("datatype", "shape"), [("FP32", (-1, 2**30)), ("BYTES", (2**40,)), ("UINT8", (-1, 2**62, 4))]
)
def test_reconcile_refuses_rows_that_no_request_can_hold(
    make_source: MakeSource, datatype: str, shape: tuple[int, ...]
) -> None:
    with pytest.raises(RepositoryError, match="more than any request can hold"):
        merge(make_source(), ArtefactTensor("x", datatype, shape))


def test_settings_file_is_the_one_that_exists(make_source: MakeSource) -> None:
    source = make_source()
    (source.folder / "config.pbtxt").touch()
    assert settings_file(source).endswith("config.pbtxt")
    (source.folder / "model.yaml").touch()
    assert settings_file(source).endswith("model.yaml")


def test_declared_signature_is_what_the_settings_say(make_source: MakeSource) -> None:
    source = make_source(
        "model.py",
        inputs={"text": {"datatype": "BYTES", "shape": [-1, 1]}},
        outputs={"length": {"datatype": "INT64", "shape": [-1, 1]}},
    )
    signature = declared_signature(source)
    assert signature.batched
    assert signature.inputs == (TensorSpec("text", "BYTES", (-1, 1)),)


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({}, "inputs"),
        ({"x": {"shape": [-1]}}, "inputs.x.datatype"),
        ({"x": {"datatype": "FP32"}}, "inputs.x.shape"),
    ],
)
def test_declared_signature_asks_for_what_is_missing(
    make_source: MakeSource, inputs: dict[str, Any], field: str
) -> None:
    source = make_source("model.py", inputs=inputs)
    with pytest.raises(RepositoryError, match=r"model\.py cannot tell") as caught:
        declared_signature(source)
    assert caught.value.field == field
