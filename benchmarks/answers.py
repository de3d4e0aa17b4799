"""Before anything is timed: does a server answer, and do two give the same answer?"""

from __future__ import annotations

import http.client
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.loadgen.spec import Target
from benchmarks.payloads import Payload
from benchmarks.process import Server

__all__ = ["WrongAnswerError", "ask", "ask_once", "right_answer", "same_answers"]

TIMEOUT_S = 30.0


class WrongAnswerError(RuntimeError):
    """A server does not answer, or not what the other one answers."""


def ask(server: Server, payload: Payload) -> bytes:
    """One request over HTTP; returns the body of the answer.

    Raises:
        WrongAnswerError: the status is not 200.
    """
    return ask_once(Target(port=server.port), payload)


def ask_once(target: Target, payload: Payload) -> bytes:
    """One request, over HTTP or gRPC unary; returns the answer's body or message.

    Raises:
        WrongAnswerError: it is not answered well.
    """
    return _ask_http(target, payload) if target.protocol == "http" else _ask_grpc(target, payload)


def same_answers(first: Server, second: Server, payload: Payload) -> None:
    """Compare the first output of two servers' JSON answers.

    Raises:
        WrongAnswerError: they differ by more than rounding.
    """
    values = [_values(json.loads(ask(server, payload))) for server in (first, second)]
    if len(values[0]) != len(values[1]) or not all(
        math.isclose(a, b, rel_tol=1e-5) for a, b in zip(*values, strict=True)
    ):
        raise WrongAnswerError(
            f"{first.name} answered {values[0][:3]}, {second.name} {values[1][:3]}"
        )


def right_answer(artefact: Path, payload: Payload) -> bytes:
    """The body with which a server of a benchmark model should answer a JSON request.

    From ONNX Runtime itself, without any server: ``artefact`` is the model's ONNX file.
    """
    (tensor,) = json.loads(payload.body)["inputs"]
    session = onnxruntime.InferenceSession(str(artefact), providers=["CPUExecutionProvider"])
    rows = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
    (values,) = session.run(None, {tensor["name"]: rows})
    output = {
        "name": session.get_outputs()[0].name,
        "datatype": "FP32",
        "shape": list(values.shape),
        "data": values.ravel().tolist(),
    }
    return json.dumps({"outputs": [output]}).encode()


def _ask_http(target: Target, payload: Payload) -> bytes:
    connection = http.client.HTTPConnection(target.host, target.port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", payload.path, payload.body, dict(payload.headers))
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise WrongAnswerError(f"port {target.port} answered {response.status}: {body[:500]!r}")
    return body


def _ask_grpc(target: Target, payload: Payload) -> bytes:
    import grpc  # where it is spoken only: it takes a quarter of a second to load

    from benchmarks.loadgen.grpc_channels import UNARY

    with grpc.insecure_channel(f"{target.host}:{target.port}") as channel:
        try:
            return bytes(channel.unary_unary(UNARY)(payload.body, timeout=TIMEOUT_S))
        except grpc.RpcError as error:
            raise WrongAnswerError(
                f"port {target.port} answered {error.code().name}: {error.details()}"
            ) from error


def _values(answer: Any) -> list[float]:
    return list(answer["outputs"][0]["data"])
