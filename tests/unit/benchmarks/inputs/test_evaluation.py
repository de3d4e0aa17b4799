"""Evaluation data becomes tensors, whatever file it is in."""

import numpy as np
import pytest

from benchmarks.inputs.evaluation import DataError, read
from benchmarks.inputs.signature import Signature, TensorSpec

SIGNATURE = Signature(
    "m",
    [
        TensorSpec("amount", "FP32", [-1, 1]),
        TensorSpec("image", "FP32", [-1, 2]),
        TensorSpec("country", "BYTES", [-1, 1]),
    ],
)


@pytest.fixture
def csv(tmp_path):
    file = tmp_path / "data.csv"
    file.write_text("amount,image_0,image_1,country,label\n1.5,1,2,DE,0\n,3,4,,1\n")
    return file


def test_read_csv_takes_columns_by_name_and_empty_cells_as_gaps(csv):
    tensors = read(csv, SIGNATURE)

    assert tensors["amount"].shape == tensors["country"].shape == (2, 1)
    assert (tensors["amount"][0, 0], np.isnan(tensors["amount"][1, 0])) == (1.5, True)
    assert tensors["image"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert tensors["country"].ravel().tolist() == ["DE", ""]


def test_read_npz_takes_arrays_by_name(tmp_path):
    np.savez(tmp_path / "data.npz", image=np.arange(6).reshape(3, 2), label=np.zeros(3))

    tensors = read(tmp_path / "data.npz", SIGNATURE)

    assert (list(tensors), tensors["image"].shape) == (["image"], (3, 2))
    assert tensors["image"].dtype == np.float32


def test_read_jsonl_takes_an_object_a_line(tmp_path):
    file = tmp_path / "data.jsonl"
    file.write_text('{"amount": 1, "country": "DE"}\n\n{"amount": 2, "country": "FR"}\n')

    tensors = read(file, SIGNATURE)

    assert tensors["amount"].ravel().tolist() == [1.0, 2.0]
    assert tensors["country"].ravel().tolist() == ["DE", "FR"]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("data.csv", "label\n1\n", "none of the inputs of m: amount, image, country"),
        ("data.csv", "amount\n", "no rows"),
        ("data.csv", "amount\nmuch\n", "much"),
        ("data.jsonl", '{"amount": 1}\n{}\n', "amount"),
        ("data.parquet", "", "one of .csv, .npz, .jsonl"),
    ],
)
def test_read_says_what_is_wrong_with_a_file(tmp_path, name, text, why):
    (tmp_path / name).write_text(text)

    with pytest.raises(DataError, match=why):
        read(tmp_path / name, SIGNATURE)
