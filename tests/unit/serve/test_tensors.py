"""The vocabulary of datatypes."""

from __future__ import annotations

import numpy as np
import pytest

from serve.tensors import DATATYPES, datatype_of


@pytest.mark.parametrize("name", sorted(DATATYPES))
def test_datatype_of_an_array_is_the_one_it_was_made_of(name: str) -> None:
    assert datatype_of(np.empty(2, DATATYPES[name].dtype)) == name


@pytest.mark.parametrize("name", sorted(set(DATATYPES) - {"BYTES"}))
def test_itemsize_is_numpys(name: str) -> None:
    assert DATATYPES[name].itemsize == DATATYPES[name].dtype.itemsize


@pytest.mark.parametrize("strings", [np.array(["a"]), np.array([b"a"])])
def test_numpys_own_strings_are_bytes(strings: np.ndarray) -> None:
    assert datatype_of(strings) == "BYTES"


def test_what_the_protocol_has_no_name_for_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        datatype_of(np.empty(1, np.complex64))


def test_config_name_is_tritons() -> None:
    assert DATATYPES["BYTES"].config_name == "TYPE_STRING"
    assert DATATYPES["FP32"].config_name == "TYPE_FP32"
