"""What people do with a Penstock server: mixed models, HTTP and gRPC, and time to think.

    locust -f benchmarks/locust/locustfile.py --host http://127.0.0.1:8000

The run's exit status says whether it went well: ``exit_status`` below. Latencies here are for
looking at, never for a gate: README.md says why.
"""

from __future__ import annotations

import time
from typing import Any

import grpc.experimental.gevent
from locust import FastHttpUser, User, between, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from tritonclient.grpc import service_pb2_grpc

from benchmarks.locust.journeys import INFER, Journeys

# grpc waits outside gevent's loop unless told, and one call would hold up every user.
grpc.experimental.gevent.init_gevent()

JOURNEYS = Journeys()
FAILED_STATUS = 1
TIMEOUT_S = 5.0


@events.init_command_line_parser.add_listener
def add_arguments(parser: LocustArgumentParser) -> None:
    """Shown in the web UI too."""
    parser.add_argument("--grpc-host", default="127.0.0.1:8001", help="host:port of gRPC")
    parser.add_argument(
        "--max-fail-ratio", type=float, default=0.0, help="share of failures that still passes"
    )


class Terminal(FastHttpUser):
    """A shop's system, over HTTP: two purchases and a handwritten amount on a form."""

    weight = 3
    wait_time = between(0.2, 1.0)
    connection_timeout = network_timeout = TIMEOUT_S

    def on_start(self) -> None:
        self.client.get("/v2/health/ready", name="ready")
        self.client.get("/v2/models/fraud", name="metadata fraud")

    @task(3)
    def purchase(self) -> None:
        self._infer("fraud")

    @task(1)
    def form(self) -> None:
        """Digits one after the other, as somebody reads a form in."""
        for _ in range(3):
            self._infer("digits")

    def _infer(self, model: str) -> None:
        with self.client.post(
            f"/v2/models/{model}/infer",
            data=JOURNEYS.body(model),
            headers={"Content-Type": "application/json"},
            name=f"infer {model}",
            catch_response=True,
        ) as response:
            if response.status_code == 200 and (wrong := JOURNEYS.wrong(model, response.json())):
                response.failure(wrong)


class Backend(User):
    """Another service, over gRPC: the same models, less time to think."""

    weight = 1
    wait_time = between(0.05, 0.2)

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._channel = grpc.insecure_channel(_option(environment, "grpc_host"))
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def on_stop(self) -> None:
        self._channel.close()

    @task(4)
    def purchase(self) -> None:
        self._infer("fraud")

    @task(1)
    def digit(self) -> None:
        self._infer("digits")

    def _infer(self, model: str) -> None:
        message = JOURNEYS.message(model)
        error: Exception | None = None
        answer: Any = None
        started_s = time.perf_counter()
        try:
            answer = self._stub.ModelInfer(message, timeout=TIMEOUT_S)
        except grpc.RpcError as raised:
            error = raised
        self.environment.events.request.fire(
            request_type=INFER,
            name=f"infer {model}",
            response_time=(time.perf_counter() - started_s) * 1e3,
            response_length=answer.ByteSize() if answer is not None else 0,
            exception=error,
            context={},
        )


@events.quitting.add_listener
def exit_status(environment: Environment, **_: Any) -> None:
    """Failures above the share allowed, or no request at all, fail the run."""
    total = environment.stats.total
    too_many = total.fail_ratio > _option(environment, "max_fail_ratio")
    if too_many or not total.num_requests:
        environment.process_exit_code = FAILED_STATUS


def _option(environment: Environment, name: str) -> Any:
    return getattr(environment.parsed_options, name)
