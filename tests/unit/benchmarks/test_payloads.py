"""Requests are what the protocol says."""

import numpy as np
import orjson

from benchmarks.payloads import binary_rows, json_rows


def test_json_rows_is_one_flat_tensor():
    payload = json_rows("small", 2, 30)
    (tensor,) = orjson.loads(payload.body)["inputs"]

    assert (tensor["shape"], len(tensor["data"])) == ([2, 30], 60)
    assert payload.path == "/v2/models/small/infer"


def test_binary_rows_carries_the_same_numbers():
    flat = orjson.loads(json_rows("small", 2, 30).body)["inputs"][0]["data"]
    payload = binary_rows("small", 2, 30)
    header_bytes = int(dict(payload.headers)["Inference-Header-Content-Length"])

    tensor = orjson.loads(payload.body[:header_bytes])["inputs"][0]

    assert tensor["parameters"]["binary_data_size"] == len(payload.body) - header_bytes == 240
    assert np.frombuffer(payload.body, np.float32, offset=header_bytes).tolist() == (
        np.array(flat, np.float32).tolist()
    )


def test_http_is_a_whole_request():
    payload = json_rows("small", 1, 30)
    head, _, body = payload.http().partition(b"\r\n\r\n")

    assert head.startswith(b"POST /v2/models/small/infer HTTP/1.1\r\nHost: ")
    assert f"Content-Length: {len(body)}".encode() in head
    assert body == payload.body
