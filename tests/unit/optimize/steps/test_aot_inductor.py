from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from optimize.errors import OptimizeError  # noqa: E402
from optimize.steps.aot_inductor import AotInductor  # noqa: E402
from optimize.steps.base import COMPILED, PROGRAM, Context  # noqa: E402
from serve.backends.pt2_file import read_pt2  # noqa: E402


def test_package_says_what_it_takes_and_what_compiled_it(compiled: Path) -> None:
    found = read_pt2(compiled)
    assert found.signature is not None
    assert [tensor.shape for tensor in found.signature.inputs] == [
        ("batch", 4),
        ("batch", "tokens_1"),
        ("batch", "tokens_1"),
    ]
    assert found.signature.ranges == {"batch": (1, None), "tokens_1": (1, None)}
    assert (found.device, found.torch) == ("cpu", torch.__version__)


def test_step_leaves_its_caches_where_it_is_told(compiled: Path) -> None:
    assert (compiled.parent / "inductor").is_dir()


def test_program_that_is_none_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / PROGRAM).write_bytes(b"no archive")
    with pytest.raises(OptimizeError, match=r"cannot compile the program.*log\.txt"):
        AotInductor().run(tmp_path / PROGRAM, tmp_path / COMPILED, Context({}))
    assert not (tmp_path / COMPILED).exists()


def nothing(*_: Any, **__: Any) -> None:
    return None


def test_step_says_when_torch_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", nothing)
    assert "torch is not installed" in AotInductor().unavailable()


def test_step_says_when_there_is_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", nothing)
    assert "no C++ compiler" in AotInductor().unavailable()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_step_says_why_nothing_is_compiled_for_cuda() -> None:
    assert AotInductor(device="cuda").unavailable()


def test_result_is_of_the_instructions_that_were_compiled_for() -> None:
    assert AotInductor().target_key()
