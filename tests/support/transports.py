"""One small client over either transport, so that a test says once what both must do.

What is valid goes through tritonclient, as its users would send it. What is not goes out raw,
because tritonclient refuses much of it itself: ``send`` takes a request in the protocol's JSON
form, and speaks JSON over HTTP and typed contents over gRPC.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import numpy as np
import tritonclient.grpc
import tritonclient.http
from google.protobuf.json_format import MessageToDict
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from serve.errors import Code
from serve.protocol.status import DEFAULT

CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
OF_HTTP = {str(status): code for code, status in reversed(DEFAULT.http.items())}
OF_GRPC = {f"StatusCode.{name}": code for code, name in reversed(DEFAULT.grpc.items())}


class Refused(Exception):
    """An error answer: which kind, by the transport's table, and its text."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Answer:
    """An inference answer, outputs in the order of the wire."""

    model_version: str
    id: str
    outputs: dict[str, Any]
    datatypes: dict[str, str]


class Transport(Protocol):
    """What the suite asks of a client. Error answers raise ``Refused``."""

    name: str

    def live(self) -> bool: ...
    def ready(self) -> bool: ...
    def model_ready(self, model: str, version: str = "") -> bool: ...
    def server_metadata(self) -> Any: ...
    def metadata(self, model: str, version: str = "") -> Any: ...
    def config(self, model: str, version: str = "") -> Any: ...
    def statistics(self, model: str = "", version: str = "") -> Any: ...
    def index(self) -> list[dict[str, str]]: ...
    def load(self, model: str) -> None: ...
    def unload(self, model: str) -> None: ...
    def send(self, model: str, message: Mapping[str, Any], version: str = "") -> Any: ...
    def infer(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        datatypes: Mapping[str, str] | None = None,
        outputs: Sequence[Any] | None = None,
        classes: int = 0,
        version: str = "",
        **options: Any,
    ) -> Answer: ...
    def close(self) -> None: ...


class _Triton:
    """What tritonclient's two clients have in common."""

    name: str
    _codes: Mapping[str, Code]
    _module: Any
    _client: Any

    def _ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        try:
            return getattr(self._client, method)(*arguments, **options)
        except InferenceServerException as error:
            code = self._codes[str(error.status())]
            raise Refused(code, str(error.message())) from None

    def _reply(self, method: str, *arguments: Any) -> Any:
        reply = self._ask(method, *arguments)
        if hasattr(reply, "DESCRIPTOR"):
            reply = MessageToDict(reply, preserving_proto_field_name=True)
        return reply

    def live(self) -> bool:
        return bool(self._ask("is_server_live"))

    def ready(self) -> bool:
        return bool(self._ask("is_server_ready"))

    def model_ready(self, model: str, version: str = "") -> bool:
        return bool(self._ask("is_model_ready", model, version))

    def server_metadata(self) -> Any:
        return self._reply("get_server_metadata")

    def metadata(self, model: str, version: str = "") -> Any:
        return self._reply("get_model_metadata", model, version)

    def config(self, model: str, version: str = "") -> Any:
        reply = self._reply("get_model_config", model, version)
        return reply.get("config", reply)

    def statistics(self, model: str = "", version: str = "") -> Any:
        return self._reply("get_inference_statistics", model, version)["model_stats"]

    def index(self) -> list[dict[str, str]]:
        reply = self._reply("get_model_repository_index")
        models: list[dict[str, str]] = reply if isinstance(reply, list) else reply["models"]
        return models

    def load(self, model: str) -> None:
        self._ask("load_model", model)

    def unload(self, model: str) -> None:
        self._ask("unload_model", model)

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        datatypes: Mapping[str, str] | None = None,
        outputs: Sequence[Any] | None = None,
        classes: int = 0,
        version: str = "",
        **options: Any,
    ) -> Answer:
        sent = []
        for name, array in inputs.items():
            datatype = (datatypes or {}).get(name) or np_to_triton_dtype(array.dtype)
            sent.append(self._module.InferInput(name, array.shape, datatype))
            sent[-1].set_data_from_numpy(array)
        wanted = None
        if outputs is not None:
            kind = self._module.InferRequestedOutput
            wanted = [kind(name, class_count=classes) for name in outputs]
        result = self._ask("infer", model, sent, outputs=wanted, model_version=version, **options)
        reply = result.get_response()
        if hasattr(reply, "DESCRIPTOR"):
            reply = MessageToDict(reply, preserving_proto_field_name=True)
        return Answer(
            reply.get("model_version", ""),
            reply.get("id", ""),
            {output["name"]: result.as_numpy(output["name"]) for output in reply["outputs"]},
            {output["name"]: output["datatype"] for output in reply["outputs"]},
        )

    def close(self) -> None:
        self._client.close()


class HttpTransport(_Triton):
    """HTTP: tritonclient.http, and JSON by hand."""

    name = "http"
    _codes = OF_HTTP
    _module = tritonclient.http

    def __init__(self, address: str) -> None:
        self._address = address
        self._client = tritonclient.http.InferenceServerClient(address)

    def model_ready(self, model: str, version: str = "") -> bool:
        """By hand: tritonclient takes every status but 200 for "not ready"."""
        path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "") + "/ready"
        status, body = self.request("GET", path)
        reply = json.loads(body)
        if "error" in reply:
            raise Refused(OF_HTTP[str(status)], reply["error"])
        return bool(reply["ready"])

    def send(self, model: str, message: Mapping[str, Any], version: str = "") -> Any:
        path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "") + "/infer"
        status, body = self.request("POST", path, json.dumps(message).encode())
        reply = json.loads(body)
        if status != 200:
            raise Refused(OF_HTTP[str(status)], reply["error"])
        return reply

    def request(self, verb: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """One exchange on a connection of its own."""
        connection = http.client.HTTPConnection(self._address, timeout=60)
        try:
            connection.request(verb, path, body)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


class GrpcTransport(_Triton):
    """gRPC: tritonclient.grpc, and messages by hand."""

    name = "grpc"
    _codes = OF_GRPC
    _module = tritonclient.grpc

    def __init__(self, address: str) -> None:
        self._client = tritonclient.grpc.InferenceServerClient(address)
        self._channel = grpc.insecure_channel(address)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def send(self, model: str, message: Mapping[str, Any], version: str = "") -> Any:
        try:
            reply = self._stub.ModelInfer(grpc_request(model, message, version), timeout=60)
        except grpc.RpcError as error:
            raise Refused(OF_GRPC[str(error.code())], str(error.details())) from None
        return MessageToDict(reply, preserving_proto_field_name=True)

    def close(self) -> None:
        super().close()
        self._channel.close()


def grpc_request(model: str, message: Mapping[str, Any], version: str = "") -> Any:
    """The message of a request in JSON form, its data as typed contents."""
    request = service_pb2.ModelInferRequest(model_name=model, model_version=version)
    request.id = message.get("id", "")
    _put(request.parameters, message.get("parameters", {}))
    for given in message["inputs"]:
        entry = request.inputs.add(name=given["name"], shape=given["shape"])
        entry.datatype = given["datatype"]
        _put(entry.parameters, given.get("parameters", {}))
        if "data" in given:
            flat = list(np.array(given["data"], dtype=object).flat)
            if given["datatype"] == "BYTES":
                flat = [item.encode() for item in flat]
            field = CONTENTS.get(given["datatype"], "fp32_contents")
            getattr(entry.contents, field).extend(flat)
    for given in message.get("outputs", ()):
        _put(request.outputs.add(name=given["name"]).parameters, given.get("parameters", {}))
    return request


def _put(target: Any, parameters: Mapping[str, Any]) -> None:
    fields = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}
    for key, value in parameters.items():
        setattr(target[key], fields[type(value)], value)
