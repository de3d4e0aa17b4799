"""A model of texts, asked over every transport and in every form, alone and in company."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from serve.tensors import Array
from tests.support import text_models
from tests.support.running import RunningApp, running

pytest.importorskip("tokenizers")

SETTINGS = "tokenizer: {max_length: 64}\ninputs: {text: {default: ''}}\n"
BROKEN = {"hostile": '{"model": {"type": "WordPiece"', "torn": ""}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    root = tmp_path_factory.mktemp("texts")
    add(root, "words")
    for name, text in BROKEN.items():
        add(root, name)
        (root / name / "1" / "tokenizer.json").write_text(text)
    with running(root) as app:
        yield app


def add(root: Path, name: str) -> None:
    folder = root / name / "1"
    folder.mkdir(parents=True)
    (root / name / "model.yaml").write_text(SETTINGS)
    text_models.embedder(folder / "model.onnx")
    text_models.tokenizer(folder / "tokenizer.json")


def mean_of(text: str) -> Array:
    places = {word: row for row, word in enumerate(text_models.WORDS)}
    rows = [places.get(word, 1) for word in ["[CLS]", *text.split()[:62], "[SEP]"]]
    mean: Array = text_models.vectors()[rows].mean(axis=0)
    return mean


def ask(server: RunningApp, data: Sequence[Any], shape: list[int] | None = None) -> Any:
    tensor = {"name": "text", "datatype": "BYTES", "shape": shape or [len(data), 1], "data": data}
    request = urllib.request.Request(
        f"http://{server.http}/v2/models/words/infer", json.dumps({"inputs": [tensor]}).encode()
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return {"status": error.code, **json.load(error)}


def vectors_in(answer: Any) -> Array:
    (output,) = answer["outputs"]
    return np.array(output["data"]).reshape(output["shape"])


def client_inputs(module: Any, texts: Sequence[str]) -> list[Any]:
    tensor = module.InferInput("text", [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[text] for text in texts], object))
    return [tensor]


def test_metadata_says_text(server: RunningApp) -> None:
    with urllib.request.urlopen(f"http://{server.http}/v2/models/words", timeout=30) as answer:
        metadata = json.load(answer)
    assert metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1, 1]}]
    assert metadata["outputs"][0]["shape"] == [-1, 4]


def test_text_is_answered_alike_in_json_binary_and_grpc(server: RunningApp) -> None:
    texts = ["red", "größe 日本", "", "never seen at all", "blue " * 500]
    wanted = np.stack([mean_of(text) for text in texts])
    np.testing.assert_allclose(vectors_in(ask(server, texts)), wanted, atol=1e-5)
    with tritonclient.http.InferenceServerClient(server.http) as client:
        got = client.infer("words", client_inputs(tritonclient.http, texts))
    np.testing.assert_allclose(got.as_numpy("embedding"), wanted, atol=1e-5)
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        got = client.infer("words", client_inputs(tritonclient.grpc, texts))
    np.testing.assert_allclose(got.as_numpy("embedding"), wanted, atol=1e-5)


def test_text_that_is_null_is_the_default(server: RunningApp) -> None:
    got = vectors_in(ask(server, [None, "red"]))
    np.testing.assert_allclose(got, [mean_of(""), mean_of("red")], atol=1e-5)


def test_texts_asked_at_once_keep_their_own_answers(server: RunningApp) -> None:
    rng = np.random.default_rng(4)
    texts = [" ".join(rng.choice(text_models.WORDS[4:], count)) for count in range(1, 61)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda text: vectors_in(ask(server, [text])), texts))
    for text, answer in zip(texts, answers, strict=True):
        np.testing.assert_allclose(answer[0], mean_of(text), atol=1e-5)


@pytest.mark.parametrize(
    ("data", "shape", "said"),
    [
        ([3], None, "expected str"),
        (["red", "blue"], [1, 2], "shape"),
        (["red"], [1], "shape"),
    ],
)
def test_what_is_no_text_is_refused(
    server: RunningApp, data: list[Any], shape: list[int] | None, said: str
) -> None:
    answer = ask(server, data, shape)
    assert answer["status"] == 400
    assert said in answer["error"]


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_broken_tokenizer_takes_its_own_model_only(server: RunningApp, name: str) -> None:
    request = urllib.request.Request(f"http://{server.http}/v2/repository/index", b"{}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        states = {each["name"]: each for each in json.load(answer)}
    assert states[name]["state"] == "UNAVAILABLE"
    assert "tokenizer.json" in states[name]["reason"]
    assert states["words"]["state"] == "READY"
