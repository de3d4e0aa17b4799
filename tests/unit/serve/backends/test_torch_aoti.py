from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from serve.backends import torch_aoti  # noqa: E402 - imports torch
from serve.backends.base import BackendSource  # noqa: E402
from serve.backends.pt2_file import Pt2Info  # noqa: E402
from serve.backends.torch_aoti import TorchBackend  # noqa: E402
from serve.errors import BackendError, RepositoryError  # noqa: E402
from serve.tensors import DATATYPES, Batch, Signature, TensorSpec  # noqa: E402
from tests.support.pt2_models import Mixed, arrays  # noqa: E402

MakeSource = Callable[..., BackendSource]

LOADS_ALONE = """
import sys
from pathlib import Path

def no_process(event, arguments):
    if event in ("subprocess.Popen", "os.system", "os.posix_spawn"):
        raise AssertionError(f"{event} {arguments}")

from serve.backends.base import BackendSource
from serve.backends.torch_aoti import TorchBackend
from serve.config.model import ModelConfig

sys.addaudithook(no_process)
artefact = Path(sys.argv[1])
config = ModelConfig(backend="torch")
TorchBackend().load(BackendSource("m", 1, artefact.parent, artefact, config, verified=True))
"""


@pytest.fixture
def source(make_source: MakeSource, compiled: Path) -> BackendSource:
    made = make_source("model.pt2", resources={"device": "cpu", "intra_op_threads": 1})
    shutil.copyfile(compiled, made.artefact)
    return replace(made, verified=True)


def loaded(source: BackendSource) -> tuple[TorchBackend, Signature]:
    backend = TorchBackend()
    return backend, backend.load(source)


def eager(batch: tuple[Any, ...]) -> dict[str, Any]:
    with torch.inference_mode():
        found: dict[str, Any] = Mixed().eval()(*map(torch.tensor, batch))
    return found


def test_signature_is_the_programs_own(source: BackendSource) -> None:
    backend, signature = loaded(source)
    assert signature == Signature(
        (
            TensorSpec("x", "FP32", (-1, 4)),
            TensorSpec("tokens", "INT64", (-1, -1)),
            TensorSpec("mask", "FP32", (-1, -1)),
        ),
        (
            TensorSpec("scores", "FP32", (-1, 3)),
            TensorSpec("half", "BF16", (-1, 8)),
            TensorSpec("tokens", "INT64", (-1, -1)),
        ),
        True,
    )
    assert backend.platform() == "torch_aoti"


def test_loading_runs_no_compiler_nor_any_other_process(source: BackendSource) -> None:
    # In an interpreter of its own: one that has compiled before has no need of it.
    subprocess.run([sys.executable, "-c", LOADS_ALONE, str(source.artefact)], check=True)


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (2, 7), (64, 3)])
def test_answers_are_those_of_the_module(source: BackendSource, rows: int, length: int) -> None:
    backend, _ = loaded(source)
    batch = arrays(rows, length)
    scores, half, tokens = backend.run(Batch(batch, rows))
    wanted = eager(batch)
    np.testing.assert_allclose(scores, wanted["scores"], atol=1e-6)
    assert half.dtype == DATATYPES["BF16"].dtype
    np.testing.assert_allclose(
        half.astype(np.float32), wanted["half"].float().numpy(), rtol=1e-2, atol=1e-6
    )
    assert np.array_equal(tokens, batch[1])


def test_outputs_share_no_memory_with_the_batch(source: BackendSource) -> None:
    backend, _ = loaded(source)
    batch = arrays(2)
    outputs = backend.run(Batch(batch, 2))
    assert not any(np.shares_memory(output, array) for output in outputs for array in batch)


def test_rows_that_are_not_contiguous_are_read_as_they_are(source: BackendSource) -> None:
    backend, _ = loaded(source)
    batch = arrays(6)
    strided = tuple(array[::2] for array in batch)
    again = tuple(np.ascontiguousarray(array) for array in strided)
    first, second = (backend.run(Batch(each, 3)) for each in (strided, again))
    assert np.array_equal(first[0], second[0])


def test_a_batch_that_does_not_fit_fails_alone(source: BackendSource) -> None:
    backend, _ = loaded(source)
    x, tokens, mask = arrays(2)
    with pytest.raises(BackendError, match="'x' has shape"):
        backend.run(Batch((x[:, :3], tokens, mask), 2))
    assert len(backend.run(Batch((x, tokens, mask), 2))) == 3


def test_threads_at_once_get_their_own_answers(source: BackendSource) -> None:
    config = source.config.model_copy(
        update={"resources": source.config.resources.model_copy(update={"instances": 4})}
    )
    backend, _ = loaded(replace(source, config=config))
    batches = [Batch(arrays(8, seed=seed), 8) for seed in range(32)]
    alone = [backend.run(batch)[0] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = [outputs[0] for outputs in pool.map(backend.run, batches)]
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_gets_the_threads_that_are_set(source: BackendSource, threads: int) -> None:
    resources = source.config.resources.model_copy(update={"intra_op_threads": threads})
    backend, _ = loaded(
        replace(source, config=source.config.model_copy(update={"resources": resources}))
    )
    with ThreadPoolExecutor(1) as pool:  # as the server runs it, and not in the thread that loads
        pool.submit(backend.run, Batch(arrays(2), 2)).result()
        assert pool.submit(torch.get_num_threads).result() == threads


def test_native_code_that_nobody_vouches_for_is_refused(source: BackendSource) -> None:
    with pytest.raises(RepositoryError, match=r"native code.*trust_native_code"):
        TorchBackend().load(replace(source, verified=False))


def test_native_code_is_loaded_where_model_yaml_says_so(source: BackendSource) -> None:
    config = source.config.model_copy(update={"trust_native_code": True})
    loaded(replace(source, verified=False, config=config))


def test_device_that_it_was_not_compiled_for_is_refused(source: BackendSource) -> None:
    resources = source.config.resources.model_copy(update={"device": "cuda"})
    config = source.config.model_copy(update={"resources": resources})
    with pytest.raises(RepositoryError, match="compiled for cpu"):
        TorchBackend().load(replace(source, config=config))


def unnamed(info: Pt2Info, **fields: Any) -> Callable[[Path], Pt2Info]:
    return lambda path: replace(info, **fields)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_program_for_cuda_is_refused_without_a_gpu(
    source: BackendSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = torch_aoti.read_pt2(source.artefact)
    monkeypatch.setattr(torch_aoti, "read_pt2", unnamed(info, device="cuda"))
    resources = source.config.resources.model_copy(update={"device": "auto"})
    config = source.config.model_copy(update={"resources": resources})
    with pytest.raises(RepositoryError, match="finds no GPU"):
        TorchBackend().load(replace(source, config=config))


def test_program_of_another_machine_is_refused(
    source: BackendSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = torch_aoti.read_pt2(source.artefact)
    monkeypatch.setattr(torch_aoti, "read_pt2", unnamed(info, machine="riscv64"))
    with pytest.raises(RepositoryError, match="riscv64"):
        TorchBackend().load(source)


def test_signature_is_asked_for_where_the_program_has_none(
    source: BackendSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = torch_aoti.read_pt2(source.artefact)
    monkeypatch.setattr(torch_aoti, "read_pt2", unnamed(info, signature=None))
    with pytest.raises(RepositoryError, match=r"no inputs are declared.*model\.pt2 cannot tell"):
        TorchBackend().load(source)


def test_declared_signature_serves_a_program_that_has_none(
    make_source: MakeSource, compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = {"x": ("FP32", [-1, 4]), "tokens": ("INT64", [-1, -1]), "mask": ("FP32", [-1, -1])}
    gives = {"scores": ("FP32", [-1, 3]), "half": ("BF16", [-1, 8]), "same": ("INT64", [-1, -1])}
    sides = [
        {name: {"datatype": kind, "shape": shape} for name, (kind, shape) in side.items()}
        for side in (shapes, gives)
    ]
    made = make_source("model.pt2", trust_native_code=True, inputs=sides[0], outputs=sides[1])
    info = torch_aoti.read_pt2(compiled)
    shutil.copyfile(compiled, made.artefact)
    monkeypatch.setattr(torch_aoti, "read_pt2", unnamed(info, signature=None))
    backend, signature = loaded(made)
    assert [spec.name for spec in signature.outputs] == ["scores", "half", "same"]
    assert len(backend.run(Batch(arrays(2), 2))) == 3


def test_text_has_no_tensors_in_torch(
    make_source: MakeSource, compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = {"text": {"datatype": "BYTES", "shape": [-1]}}
    made = make_source("model.pt2", trust_native_code=True, inputs=declared, outputs=declared)
    info = torch_aoti.read_pt2(compiled)
    shutil.copyfile(compiled, made.artefact)
    monkeypatch.setattr(torch_aoti, "read_pt2", unnamed(info, signature=None))
    with pytest.raises(RepositoryError, match="'text' is BYTES"):
        TorchBackend().load(made)


def test_code_that_cannot_be_loaded_is_said_in_one_line(
    source: BackendSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = torch_aoti.read_pt2(source.artefact)
    monkeypatch.setattr(torch_aoti, "read_pt2", unnamed(info))
    source.artefact.write_bytes(b"PK")
    with pytest.raises(RepositoryError, match="torch refused it") as caught:
        TorchBackend().load(source)
    assert "\n" not in str(caught.value)


def test_larger_batches_than_the_program_takes_are_refused(
    source: BackendSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = torch_aoti.read_pt2(source.artefact)
    assert info.signature is not None
    short = info.signature.model_copy(update={"ranges": {"batch": (1, 16)}})
    monkeypatch.setattr(torch_aoti, "read_pt2", unnamed(info, signature=short))
    batching = source.config.batching.model_copy(update={"max_batch_size": 32})
    config = source.config.model_copy(update={"batching": batching})
    with pytest.raises(RepositoryError, match="1 to 16 rows"):
        TorchBackend().load(replace(source, config=config))
