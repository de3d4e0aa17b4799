"""``clean``: the graph without what no answer needs."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from optimize.steps.base import Context, Step

__all__ = ["Clean"]


class Clean(Step):
    """Drop dead nodes and identities, give the batch its name, check the graph."""

    kind: ClassVar[str] = "clean"

    def run(self, source: Path, target: Path, context: Context) -> None:
        """See ``Step``."""
        import onnx

        from optimize.convert.graph import finish

        model = onnx.load(source)
        _skip_identities(model.graph)
        target.write_bytes(finish(model))


def _skip_identities(graph: object) -> None:
    """Read what an Identity copies from where it is; one that makes an output stays."""
    outputs = {value.name for value in graph.output}  # type: ignore[attr-defined]
    stands_for: dict[str, str] = {}
    for node in list(graph.node):  # type: ignore[attr-defined]
        for index, name in enumerate(node.input):
            node.input[index] = stands_for.get(name, name)
        if node.op_type == "Identity" and node.output[0] not in outputs:
            stands_for[node.output[0]] = node.input[0]
