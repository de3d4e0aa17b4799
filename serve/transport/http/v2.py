"""The route table of the Open Inference Protocol v2 and the extensions served here."""

from __future__ import annotations

from serve.gateway.interface import DataPlane
from serve.protocol.status import StatusTable
from serve.transport.http.handlers import (
    answer,
    feedback_handler,
    health_handler,
    index_handler,
    load_handler,
    model_handler,
    model_ready_handler,
    unload_handler,
    unsupported_handler,
)
from serve.transport.http.infer import InferHandler
from serve.transport.http.routes import Handler, Pattern, RouteTable, get, post

__all__ = ["v2_routes"]


def v2_routes(plane: DataPlane, status: StatusTable) -> RouteTable:
    """All paths of the main port."""
    return RouteTable(
        [
            Pattern("/v2", get(answer(plane.server_metadata))),
            Pattern("/v2/health/live", get(health_handler("live", plane.server_live, status))),
            Pattern("/v2/health/ready", get(health_handler("ready", plane.server_ready, status))),
            # Shadows the metadata of a model of that name, as the protocol has it.
            Pattern("/v2/models/stats", get(answer(plane.statistics))),
            *_of_models("/v2/models/{model}", plane),
            *_of_models("/v2/models/{model}/versions/{version}", plane),
            Pattern("/v2/models/{model}/feedback", post(feedback_handler(plane))),
            *_of_repositories("/v2/repository", plane),
            *_of_repositories("/v2/repository/{repository}", plane),
            *_not_offered(),
        ]
    )


def _of_models(model: str, plane: DataPlane) -> list[Pattern]:
    generate = unsupported_handler("the generate extension is")
    return [
        Pattern(f"{model}/infer", post(InferHandler(plane))),
        Pattern(model, get(model_handler(plane.model_metadata))),
        Pattern(f"{model}/ready", get(model_ready_handler(plane))),
        Pattern(f"{model}/config", get(model_handler(plane.model_config))),
        Pattern(f"{model}/stats", get(model_handler(plane.statistics))),
        Pattern(f"{model}/generate", post(generate)),
        Pattern(f"{model}/generate_stream", post(generate)),
    ]


def _of_repositories(repository: str, plane: DataPlane) -> list[Pattern]:
    return [
        Pattern(f"{repository}/index", post(index_handler(plane))),
        Pattern(f"{repository}/models/{{model}}/load", post(load_handler(plane))),
        Pattern(f"{repository}/models/{{model}}/unload", post(unload_handler(plane))),
    ]


def _not_offered() -> list[Pattern]:
    trace = _both(unsupported_handler("the trace extension is"))
    patterns = [
        Pattern("/v2/logging", _both(unsupported_handler("the logging extension is"))),
        Pattern("/v2/trace/setting", trace),
        Pattern("/v2/models/{model}/trace/setting", trace),
    ]
    for kind in ("systemsharedmemory", "cudasharedmemory"):
        memory = unsupported_handler("shared memory is")
        base, region = f"/v2/{kind}", f"/v2/{kind}/region/{{region}}"
        patterns += [
            Pattern(f"{base}/status", get(memory)),
            Pattern(f"{region}/status", get(memory)),
            Pattern(f"{region}/register", post(memory)),
            Pattern(f"{base}/unregister", post(memory)),
            Pattern(f"{region}/unregister", post(memory)),
        ]
    return patterns


def _both(handler: Handler) -> dict[bytes, Handler]:
    return {**get(handler), **post(handler)}
