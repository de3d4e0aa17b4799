from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from serve.backends.base import BackendSource
from serve.backends.ort import OnnxRuntimeBackend
from serve.errors import BackendError, RepositoryError
from serve.tensors import DATATYPES, Batch, Signature, TensorSpec
from tests.support import onnx_models

MakeSource = Callable[..., BackendSource]
CPU = {"resources": {"device": "cpu"}}


@pytest.fixture
def source(make_source: MakeSource) -> BackendSource:
    return make_source(**CPU)


def loaded(source: BackendSource) -> tuple[OnnxRuntimeBackend, Signature]:
    backend = OnnxRuntimeBackend()
    return backend, backend.load(source)


def test_backend_agrees_with_the_runtime_to_the_last_bit(source: BackendSource) -> None:
    onnx_models.mlp(source.artefact)
    backend, signature = loaded(source)
    x = np.random.default_rng(1).standard_normal((7, 30)).astype(np.float32)
    (output,) = backend.run(Batch((x,), 7))
    direct = onnxruntime.InferenceSession(str(source.artefact)).run(None, {"x": x})
    assert np.array_equal(output, direct[0])
    assert signature == Signature(
        (TensorSpec("x", "FP32", (-1, 30)),), (TensorSpec("probability", "FP32", (-1, 1)),), True
    )


def test_outputs_come_in_the_signatures_order(source: BackendSource) -> None:
    onnx_models.add_sub(source.artefact)
    backend, signature = loaded(source)
    a, b = np.full((2, 16), 5, np.int32), np.full((2, 16), 3, np.int32)
    total, difference = backend.run(Batch((a, b), 2))
    assert [spec.name for spec in signature.outputs] == ["OUTPUT0", "OUTPUT1"]
    assert (total[0, 0], difference[0, 0]) == (8, 2)


@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize("datatype", sorted(set(onnx_models.ELEMENT_TYPES) - {"BYTES"}))
def test_every_numeric_datatype_passes_through(
    source: BackendSource, datatype: str, rows: int
) -> None:
    onnx_models.identity(source.artefact, datatype)
    backend, signature = loaded(source)
    x = (np.arange(rows * 4) % 5).reshape(rows, 4).astype(DATATYPES[datatype].dtype)
    (y,) = backend.run(Batch((x,), rows))
    assert signature.inputs[0].datatype == datatype
    assert y.dtype == x.dtype
    assert y.shape == x.shape
    assert y.tobytes() == x.tobytes()


@pytest.mark.parametrize("datatype", ["FP32", "BF16"])
def test_inputs_may_be_views_that_are_read_only_or_not_contiguous(
    source: BackendSource, datatype: str
) -> None:
    onnx_models.identity(source.artefact, datatype)
    backend, _ = loaded(source)
    x = np.arange(32, dtype=np.float32).astype(DATATYPES[datatype].dtype).reshape(4, 8)
    x.flags.writeable = False
    view = x[::-1, ::2]
    (y,) = backend.run(Batch((view,), 4))
    assert np.array_equal(y, view)


def test_strings_go_in_as_bytes_and_come_out_as_text(source: BackendSource) -> None:
    onnx_models.string_echo(source.artefact, columns=2)
    backend, _ = loaded(source)
    text = np.array([[b"", "é€😀".encode()], [b"a\nb", b"x" * 1000]], object)
    (echo,) = backend.run(Batch((text,), 2))
    assert [item.encode() for item in echo.ravel()] == text.ravel().tolist()


def test_strings_that_are_not_utf8_do_not_fail_the_batch(source: BackendSource) -> None:
    onnx_models.string_echo(source.artefact)
    backend, _ = loaded(source)
    (echo,) = backend.run(Batch((np.array([[b"\xff\xfe"], [b"fine"]], object),), 2))
    assert echo.ravel().tolist() == ["\ufffd\ufffd", "fine"]


def test_a_scalar_output_needs_its_shape_in_the_settings(make_source: MakeSource) -> None:
    source = make_source(**CPU)
    onnx_models.identity(source.artefact, "FP32", [])
    with pytest.raises(RepositoryError, match="gives this tensor no shape"):
        loaded(source)
    source = make_source(inputs={"x": {"shape": []}}, outputs={"y": {"shape": []}}, **CPU)
    backend, signature = loaded(source)
    assert not signature.batched
    assert backend.run(Batch((np.array(2, np.float32),), 1))[0] == 2


def test_weights_beside_the_model_are_found(source: BackendSource) -> None:
    model = onnx.load(onnx_models.mlp(source.artefact))
    onnx.save_model(
        model, source.artefact, save_as_external_data=True, location="weights", size_threshold=0
    )
    backend, _ = loaded(source)
    assert backend.run(Batch((np.zeros((1, 30), np.float32),), 1))[0].shape == (1, 1)
    (source.artefact.parent / "weights").unlink()
    with pytest.raises(RepositoryError, match=r"separate file.*put the weights file beside it"):
        loaded(source)


def custom_operator(path: Path) -> None:
    node = helper.make_node("Fancy", ["x"], ["y"], domain="my.operators")
    value = onnx_models.value
    graph = helper.make_graph([node], "g", [value("x", "FP32", [1])], [value("y", "FP32", [1])])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("my.operators", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


def identity_with(path: Path, **changes: int) -> None:
    model = onnx.load(onnx_models.identity(path))
    model.ir_version = changes.get("ir_version", model.ir_version)
    model.opset_import[0].version = changes.get("opset", 20)
    onnx.save(model, path)


def zipmap_like(path: Path) -> None:
    onnx_models.save(
        path,
        [helper.make_node("SplitToSequence", ["x"], ["y"], axis=0)],
        [onnx_models.value("x", "FP32", ["b", 2])],
        [helper.make_tensor_sequence_value_info("y", 1, ["b", 2])],
    )


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda path: None, "is not there"),
        (lambda path: path.write_bytes(b""), "not an ONNX model"),
        (lambda path: path.write_bytes(b"garbage" * 50), "not an ONNX model"),
        (lambda path: path.write_bytes(onnx_models.mlp(path).read_bytes()[:9000]), "cut off"),
        (custom_operator, "operator that the installed onnxruntime does not have"),
        (lambda path: identity_with(path, opset=99), "newer opset"),
        (lambda path: identity_with(path, ir_version=99), "newer IR version"),
        (zipmap_like, r"output 'y' is a seq\(tensor\(float\)\).*zipmap=False"),
    ],
)
def test_load_says_what_is_wrong_with_a_file(
    source: BackendSource, write: Callable[[Path], Any], says: str
) -> None:
    write(source.artefact)
    with pytest.raises(RepositoryError, match=says) as caught:
        loaded(source)
    assert caught.value.path == str(source.artefact)
    assert "onnxruntime_src" not in str(caught.value)


def test_load_refuses_cuda_when_the_runtime_has_none(make_source: MakeSource) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    source = make_source(resources={"device": "cuda"})
    onnx_models.mlp(source.artefact)
    with pytest.raises(RepositoryError, match="built without CUDA"):
        loaded(source)


def test_load_refuses_bf16_beside_strings(source: BackendSource) -> None:
    value = onnx_models.value
    onnx_models.save(
        source.artefact,
        [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["s"], ["t"])],
        [value("x", "BF16", ["b"]), value("s", "BYTES", ["b"])],
        [value("y", "BF16", ["b"]), value("t", "BYTES", ["b"])],
    )
    with pytest.raises(RepositoryError, match="cast BF16"):
        loaded(source)


def test_run_fails_with_a_backend_error_when_the_graph_does(source: BackendSource) -> None:
    indices = onnx_models.value("index", "INT64", ["batch"])
    onnx_models.save(
        source.artefact,
        [helper.make_node("Gather", ["table", "index"], ["y"])],
        [indices],
        [onnx_models.value("y", "FP32", ["batch"])],
        {"table": np.zeros(4, np.float32)},
    )
    backend, _ = loaded(source)
    with pytest.raises(BackendError, match="out of data bounds"):
        backend.run(Batch((np.array([9]),), 1))
    assert backend.run(Batch((np.array([3]),), 1))[0].shape == (1,)


def test_run_may_be_called_from_several_threads(source: BackendSource) -> None:
    onnx_models.mlp(source.artefact)
    backend, _ = loaded(source)
    x = np.random.default_rng(2).standard_normal((5, 30)).astype(np.float32)
    expected = backend.run(Batch((x,), 5))[0]
    barrier = threading.Barrier(4)

    def work(_index: int) -> bool:
        barrier.wait()
        return all(np.array_equal(backend.run(Batch((x,), 5))[0], expected) for _ in range(50))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_run_still_answers_when_the_arena_is_shrunk(source: BackendSource) -> None:
    onnx_models.mlp(source.artefact)
    backend, _ = loaded(source)
    for rows in [128, *[1] * 200]:
        (output,) = backend.run(Batch((np.zeros((rows, 30), np.float32),), rows))
        assert output.shape == (rows, 1)


@pytest.mark.parametrize("threads", [1, 2])
def test_thread_count_of_the_settings_is_used_without_a_trial(
    make_source: MakeSource, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    seen = session_options(monkeypatch)
    source = make_source(resources={"device": "cpu", "intra_op_threads": threads})
    onnx_models.mlp(source.artefact)
    loaded(source)
    assert [options.intra_op_num_threads for options in seen] == [threads]


@pytest.mark.parametrize(
    ("setting", "level"), [({}, "ALL"), ({"graph_optimization": "off"}, "DISABLE_ALL")]
)
def test_graph_is_optimised_as_far_as_the_settings_say(
    make_source: MakeSource, monkeypatch: pytest.MonkeyPatch, setting: Any, level: str
) -> None:
    seen = session_options(monkeypatch)
    source = make_source(resources={"device": "cpu", "intra_op_threads": 1, **setting})
    onnx_models.mlp(source.artefact)
    loaded(source)
    assert [options.graph_optimization_level.name.endswith(level) for options in seen] == [True]


def session_options(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The options of every session that is made from now on."""
    seen: list[Any] = []
    real = onnxruntime.InferenceSession

    def spy(path: str, options: Any, **rest: Any) -> Any:
        seen.append(options)
        return real(path, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    return seen


def test_thread_count_is_not_tried_when_row_length_is_unknown(
    source: BackendSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.backends.ort.available_cores", lambda: 2)
    onnx_models.identity(source.artefact, "FP32", ["batch", "length"])
    backend, _ = loaded(source)
    assert backend.run(Batch((np.zeros((2, 9), np.float32),), 2))[0].shape == (2, 9)
