"""The gateway: the one object behind every transport (see ``serve.gateway.interface``)."""

from __future__ import annotations

import asyncio
import importlib.metadata
import math
from collections.abc import Callable, Sequence
from typing import Any

from serve.clock import Clock
from serve.errors import Code, InvalidRequest, NotFound, PenstockError, Unavailable
from serve.gateway.access_log import AccessLog
from serve.gateway.endpoint import Endpoint, submit_each
from serve.gateway.future_answer import FutureAnswer
from serve.gateway.interface import Outcome, Reply, Sink, Ticket, Together
from serve.gateway.model_control import ModelControl
from serve.monitoring.metrics import ServerMetrics
from serve.monitoring.statistics import model_statistics
from serve.protocol.quoting import quoted
from serve.repository.override import Override
from serve.repository.table import ModelTable
from serve.repository.triton_config import render_model_config
from serve.tensors import (
    InferRequest,
    InferResponse,
    Parameter,
    RequestBlock,
    Signature,
    TensorSpec,
)

__all__ = ["EXTENSIONS", "Gateway"]

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
    "traffic",
)


VERSION_PARAMETER = "model_version"
"""The request parameter that names a version or a label, where the path does not."""


class Gateway:
    """Implements ``DataPlane`` over a table of live versions."""

    def __init__(
        self,
        table: ModelTable[Endpoint],
        metrics: ServerMetrics,
        clock: Clock,
        *,
        server_name: str,
        epoch_offset_ns: int,
        access_log: bool = False,
    ) -> None:
        self._table = table
        self._metrics = metrics
        self._clock = clock
        self._server_metadata = {
            "name": server_name,
            "version": importlib.metadata.version("penstock"),
            "extensions": list(EXTENSIONS),
        }
        self._epoch_offset_ns = epoch_offset_ns
        self._access_log = AccessLog(clock) if access_log else None
        self._control: ModelControl | None = None
        self._count_outcome: Callable[[str, int, float], None] | None = None
        self._serving = False
        self._stopping = False

    # state, set by the app

    def set_control(self, control: ModelControl) -> None:
        """Who loads and unloads models for clients; without, nobody does."""
        self._control = control

    def set_feedback(self, count_outcome: Callable[[str, int, float], None]) -> None:
        """Who counts what callers say of predictions: a model, its version, and the outcome."""
        self._count_outcome = count_outcome

    def set_serving(self) -> None:
        """Every model has been tried: readiness now depends on the models alone."""
        self._serving = True

    def set_stopping(self) -> None:
        """Not ready from now on; what is accepted is still answered."""
        self._stopping = True

    # inference

    def submit(self, request: InferRequest, sink: Sink, together: Together | None = None) -> Ticket:
        """See ``DataPlane.submit``."""
        version = request.model_version
        if request.parameters and VERSION_PARAMETER in request.parameters:
            version = _asked_version(version, request.parameters[VERSION_PARAMETER])
        endpoint = self._table.resolve(request.model_name, version)
        if self._access_log is None:
            return endpoint.submit(request, sink, together)
        logged = self._access_log.follow(request, sink)
        logged.ticket = endpoint.submit(request, logged)
        return logged

    def submit_block(
        self, block: RequestBlock, sinks: Sequence[Sink], together: Together
    ) -> Sequence[Ticket | PenstockError]:
        """See ``DataPlane.submit_block``."""
        if self._access_log is not None:
            return submit_each(self.submit, block, sinks)
        request = block.requests[0]
        endpoint = self._table.resolve(request.model_name, request.model_version)
        return endpoint.submit_block(block, sinks, together)

    def infer(self, request: InferRequest) -> asyncio.Future[InferResponse]:
        """See ``DataPlane.infer``."""
        answer = FutureAnswer()
        answer.ticket = self.submit(request, answer)
        return answer

    def signature(self, model_name: str, model_version: str) -> Signature:
        """See ``DataPlane.signature``."""
        return self._table.resolve(model_name, model_version).live.signature

    # health

    def server_live(self) -> bool:
        """See ``DataPlane.server_live``."""
        return True

    def server_ready(self) -> bool:
        """See ``DataPlane.server_ready``."""
        if self._stopping or not self._serving:
            return False
        control = self._control
        if control is not None and control.mode == "explicit" and not self._table.names():
            return True  # no model is loaded, and none is meant to be
        now_ns = self._clock()
        return any(
            not endpoint.live.batcher.stalled_ns(now_ns) for endpoint in self._table.handles()
        )

    def model_ready(self, model_name: str, model_version: str) -> bool:
        """See ``DataPlane.model_ready``."""
        try:
            endpoint = self._table.resolve(model_name, model_version)
        except Unavailable:
            return False
        live = endpoint.live
        # Without a slot no replica is there that could answer; one that rests comes if asked.
        answers = live.executor.slots > 0 or not live.config.autoscaling.min_replicas
        return answers and not live.batcher.stalled_ns(self._clock())

    # questions

    def server_metadata(self) -> Reply:
        """See ``DataPlane.server_metadata``."""
        return self._server_metadata

    def model_metadata(self, model_name: str, model_version: str) -> Reply:
        """See ``DataPlane.model_metadata``."""
        live = self._table.resolve(model_name, model_version).live
        return {
            "name": live.name,
            "versions": self._table.versions(live.name),
            "platform": live.platform,
            "inputs": [_tensor(spec) for spec in live.signature.inputs],
            "outputs": [_tensor(spec) for spec in live.signature.outputs],
        }

    def model_config(self, model_name: str, model_version: str) -> Reply:
        """See ``DataPlane.model_config``."""
        live = self._table.resolve(model_name, model_version).live
        return render_model_config(
            live.name,
            live.config,
            live.signature,
            live.platform,
            live.backend,
            max_batch_size=live.max_batch_rows if live.signature.batched else 0,
        )

    def statistics(self, model_name: str = "", model_version: str = "") -> Reply:
        """See ``DataPlane.statistics``."""
        if model_name:
            lives = [self._table.resolve(model_name, model_version).live]
            if not model_version:
                lives = [
                    self._table.resolve(model_name, version).live
                    for version in self._table.versions(model_name)
                ]
        else:
            lives = [endpoint.live for endpoint in self._table.handles()]
        stats = [model_statistics(live.metrics, self._epoch_offset_ns) for live in lives]
        return {"model_stats": stats}

    def repository_index(self, ready_only: bool) -> asyncio.Future[list[Reply]]:
        """See ``DataPlane.repository_index``."""
        return asyncio.ensure_future(self._index(ready_only))

    # model control

    def load_model(self, model_name: str, override: Override) -> asyncio.Future[None]:
        """See ``DataPlane.load_model``."""
        if self._control is None:
            raise _control_off("load", model_name)
        return asyncio.ensure_future(self._control.load(model_name, override))

    def unload_model(self, model_name: str) -> asyncio.Future[None]:
        """See ``DataPlane.unload_model``."""
        if self._control is None:
            raise _control_off("unload", model_name)
        return asyncio.ensure_future(self._control.unload(model_name))

    async def _index(self, ready_only: bool) -> list[Reply]:
        if self._control is not None:
            await self._control.list_models()
        return self._table.index(ready_only)

    def feedback(self, model_name: str, outcomes: Sequence[Outcome]) -> None:
        """See ``DataPlane.feedback``."""
        counted = []
        for index, said in enumerate(outcomes):
            if not math.isfinite(said.outcome):
                raise InvalidRequest(f"outcomes[{index}].outcome should be a finite number")
            if not said.model_version:
                raise InvalidRequest(
                    f"outcomes[{index}].model_version should be that of the answer"
                )
            live = self._table.resolve(model_name, said.model_version).live
            counted.append((int(live.version), said.outcome))
        if not counted:
            self._table.resolve(model_name, "")
        if self._count_outcome is not None:
            for version, outcome in counted:
                self._count_outcome(model_name, version, outcome)

    def count_error(self, protocol: str, code: Code, model_name: str) -> None:
        """See ``DataPlane.count_error``."""
        known = model_name if self._known(model_name) else ""
        self._metrics.count_error(protocol, code, known)

    def _known(self, model_name: str) -> bool:
        try:
            self._table.resolve(model_name, "")
        except NotFound:
            return False
        except Unavailable:
            return True
        return True


def _asked_version(version: str, parameter: Parameter) -> str:
    """The version or label that a request asks for in its parameters, and ``version`` not."""
    asked = str(parameter) if type(parameter) is int else parameter
    if not isinstance(asked, str) or not asked:
        raise InvalidRequest(
            f"parameter '{VERSION_PARAMETER}' should be a version or a label, is {parameter!r:.80}"
        )
    if version not in ("", asked):
        raise InvalidRequest(
            f"parameter '{VERSION_PARAMETER}' is {quoted(asked)}, and the request is for version"
            f" {quoted(version)}: leave one of them out"
        )
    return asked


def _control_off(verb: str, model_name: str) -> Unavailable:
    return Unavailable(
        f"failed to {verb} {quoted(model_name)}: replicas follow the repository; change it, and"
        " send SIGHUP to `penstock serve`"
    )


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}
