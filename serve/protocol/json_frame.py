"""The JSON around the data of a request, known by heart: equal bytes are not parsed twice.

A client sends the same names, shapes and datatypes again and again; only the numbers differ. Once
a body has been parsed, what surrounds its data is remembered, and of the next bodies with the same
surroundings only the data are parsed, those of all together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import msgspec

from serve.errors import InvalidRequest
from serve.protocol.json_data import array_from_json
from serve.protocol.json_message import RequestMessage, element_type, parse_small
from serve.tensors import DATATYPES, Tensor

__all__ = ["Frame", "FrameMemory"]

Text = bytes | bytearray
Body = Text | memoryview

MAX_FRAME_BYTES = 4096
MAX_FRAMES = 256

_DATA = b'"data"'
_OPENING = re.compile(rb'"data"\s*:\s*\[')
_DECODERS: dict[str, Callable[[bytes], Any]] = {
    name: msgspec.json.Decoder(list.__class_getitem__(element_type(name))).decode
    for name in DATATYPES
    if name not in ("FP16", "BF16")  # these have no JSON form
}


class FramedInput(NamedTuple):
    """What stands before the data of an input, and what its data have to be.

    Of as many elements as a request has, the JSON holds ``mark`` exactly ``marks`` times.
    """

    before: bytes
    name: str
    datatype: str
    shape: tuple[int, ...]
    mark: bytes
    marks: int


class Frame(NamedTuple):
    """All of a body but its data. ``rows`` is the first dimension, the same in every input."""

    inputs: tuple[FramedInput, ...]
    ending: bytes
    rows: int

    def tensors(self, bodies: Sequence[Body]) -> list[Tensor] | None:
        """The inputs of all bodies, one body's rows behind another's.

        None: a body is not of this frame, or its data are not what they should be; which of the
        two, and where, the parser says.
        """
        cut = self._cut_one if len(self.inputs) == 1 else self._cut
        try:
            columns = cut(cast(Sequence[Text], bodies))
        except AttributeError:  # a memoryview, which is a large body and seldom comes here
            return None
        if columns is None:
            return None
        count = len(bodies)
        tensors = []
        for spec, column in zip(self.inputs, columns, strict=True):
            _, name, datatype, shape, mark, marks = spec
            # Every body must bring its own share, so that none can reach into its neighbour's. In
            # a list of numbers alone, each comma ends an element; in one of strings alone and
            # without escapes, two quotes are one. That it is such a list, its decoder tells.
            if [data.count(mark) for data in column].count(marks) != count:
                return None
            joined = b",".join(column)
            if mark == b'"' and b"\\" in joined:
                return None
            try:
                flat: list[Any] = _DECODERS[datatype](b"[%b]" % joined)
                array, _ = array_from_json(name, datatype, (shape[0] * count, *shape[1:]), flat)
            except (msgspec.MsgspecError, UnicodeError, InvalidRequest):
                return None
            tensors.append(Tensor(name, datatype, array))
        return tensors

    def _cut_one(self, bodies: Sequence[Text]) -> list[list[Text]] | None:
        """The data of the only input, by body; None if one of them is not of this frame."""
        before, ending = self.inputs[0].before, self.ending
        fitting = [body.startswith(before) and body.endswith(ending) for body in bodies]
        if False in fitting:
            return None
        start, stop = len(before), -len(ending)
        return [[body[start:stop] for body in bodies]]

    def _cut(self, bodies: Sequence[Text]) -> list[list[Text]] | None:
        """The same for several inputs; a string with a bracket ends the data too early, for one."""
        places = [(spec.before, len(spec.before)) for spec in self.inputs]
        ending, ending_bytes = self.ending, len(self.ending)
        rows = []
        for body in bodies:
            at = 0
            row = []
            for before, before_bytes in places:
                if not body.startswith(before, at):
                    return None
                start = at + before_bytes
                at = body.find(b"]", start)
                row.append(body[start:at])
            if len(body) - at != ending_bytes or not body.endswith(ending):
                return None
            rows.append(row)
        return [list(column) for column in zip(*rows, strict=True)]


class FrameMemory:
    """Frames by what stands before the first data.

    Bounded, and cleared rather than aged, as the memory of heads is.
    """

    def __init__(self) -> None:
        self._frames: dict[bytes, Frame] = {}

    def recall(self, body: Body) -> Frame | None:
        """The frame that the body may have."""
        if isinstance(body, memoryview):
            return None
        return self._frames.get(bytes(body[: body.find(_DATA)]))

    def learn(self, body: Body, message: RequestMessage) -> None:
        """Remember the frame of a body, which was parsed to ``message``, if it has one.

        Inputs with flat data alone have: of one number of rows, and nothing that changes from
        request to request.
        """
        if message.id or message.parameters or message.outputs or not message.inputs:
            return
        known = self.recall(body)
        if known is not None and known.tensors([body]) is not None:
            return  # it was another body, of another frame, that it was of no use for
        text = bytes(body)
        frame = _frame_of(text, message)
        if frame is None:
            return
        if len(self._frames) >= MAX_FRAMES:
            self._frames.clear()
        self._frames[text[: text.find(_DATA)]] = frame


def _frame_of(text: bytes, message: RequestMessage) -> Frame | None:
    openings = list(_OPENING.finditer(text))
    # The word may stand nowhere else, or another list than the parser's may be taken for the data.
    if len(openings) != len(message.inputs) or text.count(_DATA) != len(openings):
        return None
    inputs, probe = [], []
    at = 0
    rows = message.inputs[0].shape[0] if message.inputs[0].shape else 0
    for opening, item in zip(openings, message.inputs, strict=True):
        if type(item.data) is not list or not item.data or item.parameters is not None:
            return None
        if item.datatype not in _DECODERS or not item.shape or item.shape[0] != rows:
            return None
        elements = len(item.data)
        string = item.datatype == "BYTES"
        marks = elements * 2 if string else elements - 1
        before = text[at : opening.end()]
        mark = b'"' if string else b","
        inputs.append(FramedInput(before, item.name, item.datatype, item.shape, mark, marks))
        element = b'"?"' if string else b"true" if item.datatype == "BOOL" else b"7"
        probe += [before, b",".join([element] * elements)]
        at = text.find(b"]", opening.end())
    frame = Frame(tuple(inputs), text[at:], rows)
    frame_bytes = sum(len(spec.before) for spec in inputs) + len(frame.ending)
    # An escape could spell the word in another way.
    escaped = b"\\" in frame.ending or any(b"\\" in spec.before for spec in inputs)
    if at < 0 or frame_bytes > MAX_FRAME_BYTES or escaped:
        return None
    # It is tried with other data before it is trusted.
    return frame if _same_but_data(b"".join([*probe, frame.ending]), message) else None


def _same_but_data(body: bytes, message: RequestMessage) -> bool:
    try:
        other = parse_small(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    if len(other.inputs) != len(message.inputs):
        return False
    probes = ("?", True, 7)
    return all(
        (type(one), one.name, one.shape, one.parameters)
        == (type(two), two.name, two.shape, two.parameters)
        and len(one.data) == len(two.data)
        and all(element in probes for element in one.data)
        for one, two in zip(other.inputs, message.inputs, strict=True)
    ) and (other.id, other.parameters, other.outputs) == (
        message.id,
        message.parameters,
        message.outputs,
    )
