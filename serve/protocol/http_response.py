"""HTTP inference answers: JSON, with the tensors that were asked for as binary behind it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import msgspec
import orjson

from serve.errors import InternalError, InvalidRequest
from serve.protocol.binary_data import bytes_elements, bytes_from_array
from serve.protocol.quoting import quoted
from serve.tensors import DATATYPES, InferRequest, InferResponse, Parameter, Tensor

__all__ = ["Encoded", "encode"]

_dumps = orjson.dumps
_NUMPY = orjson.OPT_SERIALIZE_NUMPY


class Encoded(msgspec.Struct, gc=False):
    """An answer's body, in parts to be written in order.

    ``json_bytes`` is None if all of it is JSON (one part), else the length of the first part,
    to be sent as ``Inference-Header-Content-Length``. The other parts are views of the tensors.
    """

    json_bytes: int | None
    parts: list[bytes | memoryview]


def encode(request: InferRequest, response: InferResponse) -> Encoded:
    """The body that answers ``request``, which says which outputs are to be binary.

    Numbers in JSON are the shortest that give back the same bits; JSON has no NaN and no
    infinity, so those are ``null``: ask for binary data where the difference matters.

    Raises:
        InvalidRequest: an output cannot be JSON and was not asked for as binary.
        InternalError: an array is not of its datatype.
    """
    binary_default = bool(request.parameters and request.parameters.get("binary_data_output"))
    binary_of = _binary_by_name(request)
    head = [_opening(response.model_name, response.model_version)]
    if request.id:
        head.append(b'"id":%b,' % _dumps(request.id))
    if response.parameters:
        head.append(b'"parameters":%b,' % _dumps(response.parameters))
    head.append(b'"outputs":[')
    tensors: list[bytes | memoryview] = []
    separator = b""
    for output in response.outputs:
        array = output.array
        head.append(separator)
        separator = b","
        head.append(_output_opening(output.name, output.datatype, array.shape))
        if binary_of.get(output.name, binary_default) if binary_of else binary_default:
            data = bytes_from_array(array, output.datatype)
            tensors.append(data)
            head.append(_parameters({**(output.parameters or {}), "binary_data_size": len(data)}))
        else:
            if output.parameters:
                head.append(_parameters(output.parameters))
            head.append(b',"data":')
            head.append(_json_data(output))
        head.append(b"}")
    head.append(b"]}")
    json = b"".join(head)
    if not tensors:
        return Encoded(None, [json])
    return Encoded(len(json), [json, *tensors])


def _binary_by_name(request: InferRequest) -> dict[str, bool] | None:
    """What single outputs say of themselves; it wins over what the request says of all."""
    if not request.outputs:
        return None
    return {
        output.name: bool(output.parameters["binary_data"])
        for output in request.outputs
        if output.parameters and "binary_data" in output.parameters
    }


@lru_cache(maxsize=1024)
def _opening(model_name: str, model_version: str) -> bytes:
    return b'{"model_name":%b,"model_version":%b,' % (_dumps(model_name), _dumps(model_version))


@lru_cache(maxsize=4096)
def _output_opening(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    return b'{"name":%b,"datatype":"%b","shape":%b' % (
        _dumps(name),
        datatype.encode(),
        _dumps(shape),
    )


def _parameters(parameters: Mapping[str, Parameter]) -> bytes:
    return b',"parameters":%b' % _dumps(parameters)


def _json_data(output: Tensor) -> bytes:
    """The ``data`` of an output: a flat list in row-major order."""
    datatype = output.datatype
    if datatype == "BYTES":
        return _json_strings(output)
    if datatype in ("FP16", "BF16"):
        raise InvalidRequest(
            f"output {quoted(output.name)}: {datatype} has no JSON form, "
            "ask for it with the output's parameter binary_data"
        )
    try:
        return _dumps(output.array.ravel(), option=_NUMPY)
    except TypeError:
        pass  # foreign byte order, or a dtype that is not the datatype's
    try:
        array = output.array.astype(DATATYPES[datatype].dtype, casting="equiv")
    except TypeError:
        raise InternalError(
            f"output {quoted(output.name)} is {datatype}, its elements are {output.array.dtype}"
        ) from None
    return _dumps(array.ravel(), option=_NUMPY)


def _json_strings(output: Tensor) -> bytes:
    try:
        return _dumps([str(element, "utf-8") for element in bytes_elements(output.array)])
    except UnicodeDecodeError:
        raise InvalidRequest(
            f"output {quoted(output.name)} is not UTF-8 text, "
            "ask for it with the output's parameter binary_data"
        ) from None
