"""Replies in JSON form become the messages of the protocol."""

from __future__ import annotations

import pytest
from tritonclient.grpc import service_pb2

from serve.errors import InvalidRequest
from serve.protocol.grpc_messages import parse, serialise


def test_parse_gives_the_message() -> None:
    data = service_pb2.ModelReadyRequest(name="m", version="2").SerializeToString()
    assert parse(service_pb2.ModelReadyRequest, data).version == "2"


def test_parse_names_the_message_when_the_bytes_are_none() -> None:
    with pytest.raises(InvalidRequest, match=r"not a valid inference.ModelReadyRequest"):
        parse(service_pb2.ModelReadyRequest, b"\xff")


def test_serialise_keeps_nested_and_large_values() -> None:
    reply = {"model_stats": [{"name": "m", "inference_stats": {"success": {"ns": 2**63}}}]}
    data = serialise(service_pb2.ModelStatisticsResponse, reply)
    (stats,) = service_pb2.ModelStatisticsResponse.FromString(data).model_stats
    assert stats.inference_stats.success.ns == 2**63


def test_serialise_leaves_out_what_the_message_has_no_field_for() -> None:
    reply = {"name": "penstock", "started": "today"}
    data = serialise(service_pb2.ServerMetadataResponse, reply)
    assert service_pb2.ServerMetadataResponse.FromString(data).name == "penstock"
