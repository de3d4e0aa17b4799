"""The two tables agree with ONNX and with the protocol's own datatypes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from serve.backends.onnx_types import DATATYPE_BY_TYPE, ELEMENT_TYPE
from serve.tensors import DATATYPES


def test_every_datatype_of_the_protocol_has_a_type_of_onnx() -> None:
    assert set(DATATYPE_BY_TYPE.values()) == set(ELEMENT_TYPE) == set(DATATYPES)


@pytest.mark.parametrize("datatype", sorted(set(DATATYPES) - {"BYTES"}))
def test_element_type_is_onnxs_own_number(datatype: str) -> None:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(ELEMENT_TYPE[datatype])
    assert np.dtype(dtype) == DATATYPES[datatype].dtype


def test_strings_are_onnxs_strings() -> None:
    assert ELEMENT_TYPE["BYTES"] == onnx.TensorProto.STRING
