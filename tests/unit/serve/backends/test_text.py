from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve.backends.base import BackendSource
from serve.backends.ort import OnnxRuntimeBackend
from serve.backends.text import TextBackend
from serve.config import ModelConfig
from serve.errors import RepositoryError
from serve.tensors import Array, Batch
from tests.support import text_models

pytest.importorskip("tokenizers")


def folder_with(tmp_path: Path, **graph: Any) -> Path:
    (tmp_path / "1").mkdir()
    text_models.embedder(tmp_path / "1" / "model.onnx", **graph)
    text_models.tokenizer(tmp_path / "1" / "tokenizer.json")
    return tmp_path


def source_of(folder: Path, **settings: Any) -> BackendSource:
    config = ModelConfig.model_validate({"tokenizer": {}, **settings})
    return BackendSource("words", 1, folder, folder / "1" / "model.onnx", config)


def loaded(folder: Path, **settings: Any) -> TextBackend:
    backend = TextBackend(OnnxRuntimeBackend())
    backend.load(source_of(folder, **settings))
    return backend


def batch_of(texts: Sequence[str]) -> Batch:
    array = np.empty((len(texts), 1), object)
    array[:, 0] = [text.encode() for text in texts]
    return Batch((array,), len(texts))


def mean_of(words: str) -> Array:
    table = {word: row for row, word in enumerate(text_models.WORDS)}
    rows = [table.get(word, 1) for word in ["[CLS]", *words.split(), "[SEP]"]]
    mean: Array = text_models.vectors()[rows].mean(axis=0)
    return mean


def test_text_backend_takes_one_text_a_row(tmp_path: Path) -> None:
    backend = TextBackend(OnnxRuntimeBackend())
    signature = backend.load(source_of(folder_with(tmp_path)))
    (text,) = signature.inputs
    assert (text.name, text.datatype, text.shape) == ("text", "BYTES", (-1, 1))
    assert signature.batched and backend.platform() == "onnxruntime_onnx"


@pytest.mark.parametrize("pads", ["left", "right"])
def test_text_answers_alike_alone_and_beside_longer_ones(tmp_path: Path, pads: str) -> None:
    folder = folder_with(tmp_path)
    text_models.tokenizer(folder / "1" / "tokenizer.json", pads)
    backend = loaded(folder)
    texts = ["red", "", "größe 日本 blue", "never seen", "red green " * 20, "blue " * 90, "red"]
    (together,) = backend.run(batch_of(texts))
    for row, text in enumerate(texts):
        (alone,) = backend.run(batch_of([text]))
        np.testing.assert_allclose(together[row], alone[0], atol=1e-5)
        np.testing.assert_allclose(alone[0], mean_of(text), atol=1e-5)


def test_text_beyond_max_length_is_cut(tmp_path: Path) -> None:
    backend = loaded(folder_with(tmp_path), tokenizer={"max_length": 5})
    (got,) = backend.run(batch_of(["red green blue red green blue", "red" * 10**6]))
    np.testing.assert_allclose(got[0], mean_of("red green blue"), atol=1e-5)
    np.testing.assert_allclose(got[1], mean_of("[UNK]"), atol=1e-5)


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    array = np.array([[b"\xff\xfe red"]], object)
    (got,) = loaded(folder_with(tmp_path)).run(Batch((array,), 1))
    assert np.isfinite(got).all()


def test_text_may_have_no_inner_dimension(tmp_path: Path) -> None:
    backend = loaded(folder_with(tmp_path), inputs={"text": {"shape": [-1]}})
    (got,) = backend.run(Batch((np.array([b"red", b"blue"], object),), 2))
    np.testing.assert_allclose(got[1], mean_of("blue"), atol=1e-5)


def test_tokenizer_may_lie_in_the_models_folder(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    (folder / "1" / "tokenizer.json").rename(folder / "words.json")
    loaded(folder, tokenizer={"file": "words.json", "input": "sentence"})


@pytest.mark.parametrize(
    ("graph", "settings", "field", "problem"),
    [
        ({}, {"tokenizer": {"file": "no.json"}}, "tokenizer.file", "there is no no.json"),
        ({}, {"inputs": {"text": {"shape": [-1, 2]}}}, "inputs.text.shape", "one text a row"),
        ({}, {"inputs": {"txet": {}}}, "inputs.txet", "no such input"),
        (
            {},
            {"tokenizer": {"max_length": 2}},
            "tokenizer.max_length",
            "2 tokens of it are special",
        ),
        ({"ids": "tokens"}, {}, "", "takes no batch of 'input_ids'"),
        ({"pooled": False}, {}, "", "'embedding' has shape"),
        (
            {"positions": 64},
            {"tokenizer": {"max_length": 65}},
            "tokenizer.max_length",
            "a text of 65 tokens fails",
        ),
    ],
)
def test_load_says_what_does_not_fit(
    tmp_path: Path, graph: dict[str, Any], settings: dict[str, Any], field: str, problem: str
) -> None:
    folder = folder_with(tmp_path, **graph)
    with pytest.raises(RepositoryError, match=problem) as found:
        loaded(folder, **settings)
    assert found.value.field == field
    assert found.value.remedy


@pytest.mark.parametrize(
    "text",
    ["", "[", "{}", '{"model": 3}', "[" * 100_000, '{"version": "1.0", "model": {"type": "BPE"}}'],
)
def test_load_says_that_a_file_is_no_tokenizer(tmp_path: Path, text: str) -> None:
    folder = folder_with(tmp_path)
    (folder / "1" / "tokenizer.json").write_text(text)
    with pytest.raises(RepositoryError, match=r"tokenizer\.json"):
        loaded(folder)


def test_ids_that_the_graph_lacks_are_found_at_load(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    path = folder / "1" / "tokenizer.json"
    data = json.loads(path.read_text())
    data["model"]["vocab"]["a"] = 10**6
    path.write_text(json.dumps(data))
    with pytest.raises(RepositoryError, match="the tokenizer that the model was trained with"):
        loaded(folder)
