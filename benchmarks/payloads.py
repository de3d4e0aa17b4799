"""The requests that are sent: made once, as bytes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import orjson

__all__ = ["Payload", "binary_rows", "json_rows"]

Rows = npt.NDArray[np.float32]


class Payload(msgspec.Struct, frozen=True):
    """One request, and how many rows it carries.

    For gRPC, ``path`` is the method, ``headers`` the metadata and ``body`` the serialised message.
    """

    name: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    rows: int

    def http(self) -> bytes:
        """The whole request."""
        headers = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}"
        return f"{head}Content-Length: {len(self.body)}\r\n\r\n".encode() + self.body

    def write(self, folder: Path) -> Path:
        """The whole request as a file."""
        file = folder / f"{self.name}.http"
        file.write_bytes(self.http())
        return file


def sample(rows: int, features: int, seed: int = 0) -> Rows:
    """Rows as a client has them: four significant digits."""
    values = np.random.default_rng(seed).standard_normal((rows, features))
    return np.array([float(f"{value:.4g}") for value in values.flat], np.float32).reshape(
        rows, features
    )


def json_rows(model: str, rows: int, features: int, seed: int = 0) -> Payload:
    """A JSON request with its numbers in one flat list."""
    values = [float(f"{value:.4g}") for value in sample(rows, features, seed).flat]
    tensor = {"name": "x", "shape": [rows, features], "datatype": "FP32", "data": values}
    return Payload(
        f"{model}-json-{rows}",
        f"/v2/models/{model}/infer",
        (("Content-Type", "application/json"),),
        orjson.dumps({"inputs": [tensor]}),
        rows,
    )


def binary_rows(model: str, rows: int, features: int, tensor: Rows | None = None) -> Payload:
    """A request with a binary tensor, asking for a binary answer."""
    raw = (sample(rows, features) if tensor is None else tensor).tobytes()
    header = orjson.dumps(
        {
            "parameters": {"binary_data_output": True},
            "inputs": [
                {
                    "name": "x",
                    "shape": [rows, features],
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": len(raw)},
                }
            ],
        }
    )
    return Payload(
        f"{model}-binary-{rows}",
        f"/v2/models/{model}/infer",
        (
            ("Content-Type", "application/octet-stream"),
            ("Inference-Header-Content-Length", str(len(header))),
        ),
        header + raw,
        rows,
    )
