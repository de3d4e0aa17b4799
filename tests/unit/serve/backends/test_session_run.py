from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from serve.backends.session_run import BoundRun, PlainRun, session_run
from serve.tensors import DATATYPES, Signature, TensorSpec
from tests.support import onnx_models


def signature(datatype: str) -> Signature:
    spec = (-1, 4)
    return Signature(
        (TensorSpec("x", datatype, spec),), (TensorSpec("y", datatype, spec),), batched=True
    )


@pytest.mark.parametrize(
    ("datatype", "on_cpu", "kind"),
    [
        ("FP32", True, PlainRun),
        ("FP32", False, BoundRun),
        ("BF16", True, BoundRun),
        ("BYTES", False, PlainRun),
    ],
)
def test_session_run_binds_only_where_it_helps(
    tmp_path: Path, datatype: str, on_cpu: bool, kind: type
) -> None:
    session = onnxruntime.InferenceSession(
        str(onnx_models.identity(tmp_path / "model.onnx", datatype))
    )
    assert isinstance(session_run(session, signature(datatype), on_cpu), kind)


def test_bound_run_gives_what_plain_run_gives(tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(str(onnx_models.mlp(tmp_path / "model.onnx")))
    specs = (TensorSpec("x", "FP32", (-1, 30)),), (TensorSpec("probability", "FP32", (-1, 1)),)
    x = np.random.default_rng(3).standard_normal((9, 30)).astype(np.float32)
    plain, bound = (
        kind(session, Signature(*specs, batched=True))([x], None) for kind in (PlainRun, BoundRun)
    )
    assert np.array_equal(plain[0], bound[0])


def test_bound_outputs_outlive_their_binding(tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(
        str(onnx_models.identity(tmp_path / "model.onnx", "FP32"))
    )
    run = BoundRun(session, signature("FP32"))
    kept = [run([np.full((2, 4), i, np.float32)], None)[0] for i in range(50)]
    assert all(np.all(array == i) for i, array in enumerate(kept))


def test_bound_run_keeps_a_scalar_a_scalar(tmp_path: Path) -> None:
    path = onnx_models.identity(tmp_path / "model.onnx", "BF16", [])
    specs = (TensorSpec("x", "BF16", ()),), (TensorSpec("y", "BF16", ()),)
    run = BoundRun(onnxruntime.InferenceSession(str(path)), Signature(*specs, batched=False))
    (y,) = run([np.array(1.5, DATATYPES["BF16"].dtype)], None)
    assert y.shape == ()
    assert y == 1.5
