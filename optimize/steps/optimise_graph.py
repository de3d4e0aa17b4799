"""``compile``: the graph as ONNX Runtime rewrites it, saved, so that loading it is quicker."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from optimize.errors import OptimizeError
from optimize.steps.base import Context, Step

__all__ = ["Compile"]


class Compile(Step):
    """Let ONNX Runtime optimise the graph now and not at each start."""

    kind: ClassVar[str] = "compile"

    level: Literal["basic", "extended"] = Field(
        "extended",
        description="basic: standard operators only; extended: fusions into the runtime's own."
        " Layouts for one kind of processor are left to the server, which applies them at load.",
    )

    def run(self, source: Path, target: Path, context: Context) -> None:
        """See ``Step``."""
        import onnxruntime

        levels = onnxruntime.GraphOptimizationLevel
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = {
            "basic": levels.ORT_ENABLE_BASIC,
            "extended": levels.ORT_ENABLE_EXTENDED,
        }[self.level]
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 3
        try:
            onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise OptimizeError(
                step=self.kind,
                problem=f"ONNX Runtime refused the graph: {' '.join(str(error).split())[:300]}",
                remedy="export it with operators that the installed onnxruntime has, or leave"
                " `compile` out of optimize.steps",
            ) from error
