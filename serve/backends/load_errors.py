"""What is wrong with an ONNX file, in words of its owner, from what the runtime raised."""

from __future__ import annotations

import re
from pathlib import Path

from serve.errors import RepositoryError

__all__ = ["load_error"]

# First match wins: a pattern in the runtime's message, the problem, the remedy.
_KNOWN = (
    (
        r"NO_SUCHFILE|File doesn't exist|system error number (2|13)\b",
        "is not there, or cannot be read",
        "copy it into the version's folder, readable by the server's user",
    ),
    (
        r"No graph was found|Protobuf parsing failed|ModelProto does not have a graph",
        "is not an ONNX model, or was cut off while it was written",
        "export it again, and compare its size with the original",
    ),
    (
        r"[Ee]xternal data",
        "its weights are in a separate file, which is missing or cannot be read",
        "put the weights file beside it, under the name it had at export",
    ),
    (
        r"ONNX Runtime only \*guarantees\*|Opset \d+ is under development",
        "was exported with a newer opset than the installed onnxruntime supports",
        "export it with a lower opset, or install a newer onnxruntime",
    ),
    (
        r"Unsupported model IR version|IR version",
        "was written with a newer IR version than the installed onnxruntime supports",
        "set a lower `ir_version` at export, or install a newer onnxruntime",
    ),
    (
        r"is not a registered function/op|No Op registered for|custom op",
        "uses an operator that the installed onnxruntime does not have",
        "export it without custom operators, or install an onnxruntime that has them",
    ),
    (
        r"NOT_IMPLEMENTED|Could not find an implementation",
        "uses an operator with a datatype that this device has no kernel for",
        "export it with another datatype (often FP32 or INT64), or set another device",
    ),
    (
        r"CUDA failure|CUDA error|CUBLAS|CUDNN|out of memory",
        "the GPU refused",
        "look at `nvidia-smi` for memory and driver, or set resources.device to cpu",
    ),
)
_NOISE = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : \w+ : "
    r"|Load model from .*? failed:"
    r"|/onnxruntime_src/\S+:\d+ .*?\) ",
    re.S,
)


def load_error(artefact: Path, error: Exception) -> RepositoryError:
    """A RepositoryError for an exception of the runtime while it loaded ``artefact``."""
    message = str(error)
    problem, remedy = next(
        ((problem, remedy) for pattern, problem, remedy in _KNOWN if re.search(pattern, message)),
        ("the runtime refused it", "check it with `onnx.checker.check_model`, and export it again"),
    )
    detail = " ".join(_NOISE.sub("", message).split())
    if len(detail) > 300:
        detail = f"{detail[:150]} ... {detail[-150:]}"
    return RepositoryError(path=str(artefact), problem=f"{problem}: {detail}", remedy=remedy)
