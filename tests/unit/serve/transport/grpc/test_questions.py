"""The methods other than inference, through the generated stubs."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from grpc import StatusCode
from tritonclient.grpc import service_pb2 as pb

from serve.errors import Code
from serve.repository.override import NO_OVERRIDE, Override


async def status_of(call: Any) -> tuple[StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


async def test_server_is_live_and_ready(stub: Any, plane: Any) -> None:
    assert (await stub.ServerLive(pb.ServerLiveRequest())).live
    assert (await stub.ServerReady(pb.ServerReadyRequest())).ready
    plane.ready = False
    assert not (await stub.ServerReady(pb.ServerReadyRequest())).ready


async def test_model_readiness_is_the_versions(stub: Any) -> None:
    assert (await stub.ModelReady(pb.ModelReadyRequest(name="m"))).ready
    assert not (await stub.ModelReady(pb.ModelReadyRequest(name="m", version="9"))).ready


async def test_metadata_of_the_server(stub: Any) -> None:
    reply = await stub.ServerMetadata(pb.ServerMetadataRequest())
    assert (reply.name, reply.version, list(reply.extensions)) == ("penstock", "1", ["statistics"])


async def test_metadata_of_a_model(stub: Any) -> None:
    reply = await stub.ModelMetadata(pb.ModelMetadataRequest(name="m"))
    assert list(reply.versions) == ["1", "2"]
    assert list(reply.inputs[0].shape) == [-1, 2]


async def test_config_of_a_model(stub: Any) -> None:
    config = (await stub.ModelConfig(pb.ModelConfigRequest(name="m"))).config
    assert config.max_batch_size == 8
    assert list(config.input[0].dims) == [2]
    assert config.dynamic_batching.max_queue_delay_microseconds == 5


async def test_statistics(stub: Any) -> None:
    (stats,) = (await stub.ModelStatistics(pb.ModelStatisticsRequest())).model_stats
    assert stats.inference_stats.success.ns == 2**40
    assert stats.batch_stats[0].batch_size == 3


async def test_repository_index(stub: Any) -> None:
    models = (await stub.RepositoryIndex(pb.RepositoryIndexRequest())).models
    assert [(model.name, model.state, model.reason) for model in models] == [
        ("m", "READY", ""),
        ("bad", "UNAVAILABLE", "no artefact"),
    ]
    ready = await stub.RepositoryIndex(pb.RepositoryIndexRequest(ready=True))
    assert [model.name for model in ready.models] == ["m"]


async def test_load_and_unload_reach_the_plane(stub: Any, plane: Any) -> None:
    await stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="m"))
    unload = pb.RepositoryModelUnloadRequest(model_name="m")
    unload.parameters["unload_dependents"].bool_param = False
    await stub.RepositoryModelUnload(unload)
    assert plane.control == [("load", "m", NO_OVERRIDE), ("unload", "m")]


async def test_load_brings_configuration_and_files_along(stub: Any, plane: Any) -> None:
    request = pb.RepositoryModelLoadRequest(model_name="m")
    request.parameters["config"].string_param = "{}"
    request.parameters["file:1/model.onnx"].bytes_param = b"x" * 100_000
    await stub.RepositoryModelLoad(request)
    ((_, _, override),) = plane.control
    assert override == Override("{}", {"1/model.onnx": b"x" * 100_000})


async def test_load_with_an_unknown_parameter_is_refused(stub: Any, plane: Any) -> None:
    request = pb.RepositoryModelLoadRequest(model_name="m")
    request.parameters["force"].bool_param = True
    status, details = await status_of(stub.RepositoryModelLoad(request))
    assert status is StatusCode.INVALID_ARGUMENT
    assert "'force'" in details
    assert plane.control == []


async def test_unload_with_an_unknown_parameter_is_refused(stub: Any, plane: Any) -> None:
    request = pb.RepositoryModelUnloadRequest(model_name="m")
    request.parameters["force"].bool_param = True
    status, details = await status_of(stub.RepositoryModelUnload(request))
    assert status is StatusCode.UNIMPLEMENTED
    assert "'force'" in details
    assert plane.control == []


async def test_repository_name_is_refused(stub: Any) -> None:
    request = pb.RepositoryIndexRequest(repository_name="other")
    assert (await status_of(stub.RepositoryIndex(request)))[0] is StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "method", ["ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"]
)
async def test_unknown_model_is_not_found(stub: Any, plane: Any, method: str) -> None:
    request = getattr(pb, f"{method}Request")(name="nope")
    status, details = await status_of(getattr(stub, method)(request))
    assert status is StatusCode.NOT_FOUND
    assert details == "Request for unknown model: 'nope' is not found"
    assert plane.errors == [("grpc", Code.NOT_FOUND, "nope")]


@pytest.mark.parametrize(
    "method",
    [
        *(
            f"{kind}SharedMemory{verb}"
            for kind in ("System", "Cuda")
            for verb in ("Status", "Register", "Unregister")
        ),
        "TraceSetting",
        "LogSettings",
    ],
)
async def test_method_that_is_not_offered_says_so(stub: Any, method: str) -> None:
    status, details = await status_of(getattr(stub, method)(getattr(pb, f"{method}Request")()))
    assert status is StatusCode.UNIMPLEMENTED
    assert details.startswith(f"{method}: this server does not offer")


async def test_every_method_of_the_service_is_answered(stub: Any, channel: Any) -> None:
    service = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    for method in service.methods:
        if not method.client_streaming and not method.name.endswith("Infer"):
            call = channel.unary_unary(f"/{service.full_name}/{method.name}")(b"\xff")
            status, _ = await status_of(call)
            assert status in (StatusCode.INVALID_ARGUMENT, StatusCode.UNIMPLEMENTED), method.name
