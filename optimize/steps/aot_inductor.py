"""``aot-inductor``: an exported torch program compiled to native code, for what ONNX cannot say.

Where ONNX can express a network, ONNX Runtime is as fast on a CPU (docs/optimize.md), and its
file runs on any machine; a ``.pt2`` runs on machines like the one that compiled it.
"""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from optimize.convert.program import program_signature
from optimize.errors import OptimizeError
from optimize.steps.base import COMPILED, PROGRAM, Context, Step
from serve.backends.pt2_file import SIGNATURE_KEY, TORCH_KEY, cpu_flags

__all__ = ["AotInductor"]

MARCH = (("x86-64-v4", "avx512vl"), ("x86-64-v3", "avx2"))
"""What the compiler may use on x86, by a flag of the processor: levels, and not this one model."""


class AotInductor(Step):
    """Native code of the exported program, by torch's own compiler."""

    kind: ClassVar[str] = "aot-inductor"
    takes: ClassVar[str] = PROGRAM
    makes: ClassVar[str] = COMPILED

    device: Literal["cpu", "cuda"] = Field("cpu", description="What it is compiled for.")
    max_autotune: bool = Field(
        False, description="Time several kernels for each matrix product; takes minutes."
    )

    def unavailable(self) -> str:
        """See ``Step``."""
        if importlib.util.find_spec("torch") is None:
            return "torch is not installed (pip install 'penstock[torch]')"
        if shutil.which("g++") is None and shutil.which("clang++") is None:
            return "there is no C++ compiler (g++ or clang++)"
        if self.device == "cuda":
            return _no_cuda()
        return ""

    def target_key(self) -> str:
        """See ``Step``."""
        if self.device == "cpu":
            return _march() or "native"
        import torch

        return f"{torch.cuda.get_device_name()} {torch.version.cuda}"

    def run(self, source: Path, target: Path, context: Context) -> None:
        """See ``Step``. Compiler caches go where TMPDIR and TORCHINDUCTOR_CACHE_DIR say."""
        import torch

        from optimize.artefact import exported_signature

        said = io.StringIO()
        try:
            with warnings.catch_warnings(), redirect_stdout(said), redirect_stderr(said):
                warnings.simplefilter("ignore")  # torch's remarks are about torch
                program = torch.export.load(source)
                if self.device == "cuda":
                    program = _on_cuda(program)
                signature = exported_signature(source.parent) or program_signature(program)
                torch._inductor.aoti_compile_and_package(
                    program,
                    package_path=str(target),
                    inductor_configs=self._options(
                        {
                            SIGNATURE_KEY: signature.model_dump_json(),
                            TORCH_KEY: torch.__version__,
                        }
                    ),
                )
        except OptimizeError:
            raise
        except Exception as error:
            raise OptimizeError(
                step=self.kind,
                problem=f"torch cannot compile the program: {type(error).__name__}:"
                f" {' '.join(str(error).split())[:300]}",
                remedy="see what its compiler said in the step's log.txt, or leave aot-inductor"
                " out of optimize.steps",
            ) from error
        finally:
            print(said.getvalue())  # noqa: T201 - into the step's log

    def _options(self, metadata: dict[str, str]) -> dict[str, Any]:
        options: dict[str, Any] = {
            "aot_inductor.metadata": metadata,
            # Threads as the server sets them, not as many as this machine has now.
            "cpp.dynamic_threads": True,
            # In this process, so that the step's limits hold and none is left behind.
            "compile_threads": 1,
            # For one program, compiling the headers once more costs more than it saves.
            "aot_inductor.precompile_headers": False,
            "max_autotune": self.max_autotune,
        }
        march = _march()
        if march:
            options["cpp.march"] = march
        return options


def _march() -> str:
    flags = cpu_flags()
    if os.uname().machine != "x86_64":
        return ""
    return next((level for level, flag in MARCH if flag in flags), "x86-64")


def _no_cuda() -> str:
    import torch

    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    return "" if torch.cuda.is_available() else "torch finds no GPU"


def _on_cuda(program: Any) -> Any:
    from torch.export.passes import move_to_device_pass

    return move_to_device_pass(program, "cuda")
