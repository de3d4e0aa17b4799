"""HTTP inference answers: JSON, with the tensors that were asked for as binary behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate

import msgspec
import orjson

from serve.errors import InternalError, InvalidRequest
from serve.protocol.binary_data import bytes_elements, bytes_from_array
from serve.protocol.quoting import quoted
from serve.tensors import DATATYPES, Array, InferRequest, InferResponse, Parameter, Tensor

__all__ = ["Encoded", "encode", "encode_binary_rows", "encode_rows"]

_dumps = orjson.dumps
_NUMPY = orjson.OPT_SERIALIZE_NUMPY
_ONE_ROW = (1, "")


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


def encode_rows(response: InferResponse, shares: Sequence[tuple[int, str]]) -> list[bytes]:
    """JSON bodies for several requests at once, whose rows ``response`` has one after the other.

    Each share is a request's rows and its id ("" for none); the rows of all of them together are
    those of every output, unless there is one share, which may be of a model without batches.
    Bodies are what ``encode`` gives for a request of that id and nothing else asked for.

    Raises:
        InvalidRequest: an output has no JSON form (FP16, BF16).
        InternalError: an array is not of its datatype.
    """
    single = len(shares) == 1
    if single:
        columns = [[_json_data(output)[1:-1]] for output in response.outputs]
    else:
        columns = [_json_columns(output, shares) for output in response.outputs]
    outputs = tuple(
        [
            (output.name, output.datatype, output.array.shape if single else output.array.shape[1:])
            for output in response.outputs
        ]
    )
    if len(columns) == 1 and shares.count(_ONE_ROW) == len(shares):
        plain = _template(response.model_name, response.model_version, outputs, 0 if single else 1)
        return [plain % (b"", data) for data in columns[0]]
    templates: dict[int, bytes] = {}
    bodies = []
    for (rows, request_id), *data in zip(shares, *columns, strict=True):
        template = templates.get(rows)
        if template is None:
            template = templates[rows] = _template(
                response.model_name, response.model_version, outputs, 0 if single else rows
            )
        id_text = b'"id":%b,' % _dumps(request_id) if request_id else b""
        bodies.append(template % (id_text, *data))
    return bodies


def encode_binary_rows(
    response: InferResponse, shares: Sequence[tuple[int, str]]
) -> list[tuple[int, bytes]]:
    """The same for requests that want every output as binary: bytes of JSON, and the body."""
    if len(shares) > 1 and shares.count(_ONE_ROW) == len(shares):
        bodies = _binary_single_rows(response, len(shares))
        if bodies is not None:
            return bodies
    bodies = []
    start = 0
    for rows, request_id in shares:
        stop = start + rows
        parts: list[bytes | memoryview] = [b""]
        sizes = []
        for output in response.outputs:
            array = output.array if len(shares) == 1 else output.array[start:stop]
            data = bytes_from_array(array, output.datatype)
            sizes.append((output.name, output.datatype, array.shape, len(data)))
            parts.append(data)
        start = stop
        opening, ending = _binary_json(response.model_name, response.model_version, tuple(sizes))
        json = opening + ending
        if request_id:
            json = b'%b"id":%b,%b' % (opening, _dumps(request_id), ending)
        parts[0] = json
        bodies.append((len(json), b"".join(parts)))
    return bodies


def _binary_single_rows(response: InferResponse, count: int) -> list[tuple[int, bytes]] | None:
    """Bodies of requests of one row each; None if their rows may differ in size."""
    columns, sizes = [], []
    for output in response.outputs:
        if output.datatype == "BYTES":
            return None
        data = bytes(bytes_from_array(output.array, output.datatype))
        size = len(data) // count
        columns.append([data[start : start + size] for start in range(0, len(data), size or 1)])
        sizes.append((output.name, output.datatype, (1, *output.array.shape[1:]), size))
        if not size:
            return None
    opening, ending = _binary_json(response.model_name, response.model_version, tuple(sizes))
    json = opening + ending
    json_bytes = len(json)
    return [(json_bytes, json + b"".join(row)) for row in zip(*columns, strict=True)]


@lru_cache(maxsize=1024)
def _binary_json(
    model_name: str,
    model_version: str,
    outputs: tuple[tuple[str, str, tuple[int, ...], int], ...],
) -> tuple[bytes, bytes]:
    """The JSON of an answer whose outputs follow it as bytes: before its id, and behind it."""
    rendered = b",".join(
        _output_opening(name, datatype, shape) + _parameters({"binary_data_size": size}) + b"}"
        for name, datatype, shape, size in outputs
    )
    return _opening(model_name, model_version), b'"outputs":[%b]}' % rendered


@lru_cache(maxsize=1024)
def _template(
    model_name: str,
    model_version: str,
    outputs: tuple[tuple[str, str, tuple[int, ...]], ...],
    rows: int,
) -> bytes:
    """A body with a place for the id and for each output's data; ``rows`` 0: shapes are whole."""
    openings = [
        _output_opening(name, datatype, (rows, *shape) if rows else shape)
        for name, datatype, shape in outputs
    ]
    opening = _opening(model_name, model_version).replace(b"%", b"%%")
    rendered = b",".join(text.replace(b"%", b"%%") + b',"data":[%b]}' for text in openings)
    return opening + b'%b"outputs":[' + rendered + b"]}"


def _json_columns(output: Tensor, shares: Sequence[tuple[int, str]]) -> list[bytes]:
    """The elements of each share, as JSON without brackets."""
    array = output.array
    if output.datatype == "BYTES" or array.size == 0:
        stops = list(accumulate(rows for rows, _ in shares))
        return [
            _json_data(Tensor(output.name, output.datatype, array[stop - rows : stop]))[1:-1]
            for stop, (rows, _) in zip(stops, shares, strict=True)
        ]
    total = array.shape[0]
    # One call for the whole batch; numbers have no brackets, so the rows are easily told apart.
    rows_json = _json_numbers(output, array.reshape(total, -1))[2:-2].split(b"],[")
    if len(shares) == total:
        return rows_json
    column, start = [], 0
    for rows, _ in shares:
        column.append(b",".join(rows_json[start : start + rows]))
        start += rows
    return column


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
    if output.datatype == "BYTES":
        return _json_strings(output)
    return _json_numbers(output, output.array.ravel())


def _json_numbers(output: Tensor, array: Array) -> bytes:
    """``array``, which has the elements of ``output``, as JSON in its shape."""
    datatype = output.datatype
    if datatype in ("FP16", "BF16"):
        raise InvalidRequest(
            f"output {quoted(output.name)}: {datatype} has no JSON form, "
            "ask for it with the output's parameter binary_data"
        )
    try:
        return _dumps(array, option=_NUMPY)
    except TypeError:
        pass  # not contiguous, foreign byte order, or a dtype that is not the datatype's
    try:
        array = array.astype(DATATYPES[datatype].dtype, order="C", casting="equiv")
    except TypeError:
        raise InternalError(
            f"output {quoted(output.name)} is {datatype}, its elements are {output.array.dtype}"
        ) from None
    return _dumps(array, option=_NUMPY)


def _json_strings(output: Tensor) -> bytes:
    try:
        return _dumps([str(element, "utf-8") for element in bytes_elements(output.array)])
    except UnicodeDecodeError:
        raise InvalidRequest(
            f"output {quoted(output.name)} is not UTF-8 text, "
            "ask for it with the output's parameter binary_data"
        ) from None
