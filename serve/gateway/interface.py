"""What every transport may ask: one inference call, and the protocol's questions about models.

Replies other than inference are plain dictionaries in the protocol's JSON form, whose names are
also those of the protobuf messages, so that HTTP and gRPC cannot drift apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from serve.errors import Code, PenstockError
from serve.repository.override import Override
from serve.scheduling.entry import Entry, Sink
from serve.tensors import InferRequest, InferResponse, RequestBlock, Signature

__all__ = ["DataPlane", "Entry", "Outcome", "Reply", "Sink", "Ticket", "Together"]

Reply = dict[str, Any]


class Outcome(msgspec.Struct, frozen=True):
    """What became of predictions of a version, such as 1 for a purchase and 0 for none."""

    model_version: str
    outcome: float


Together = Callable[[InferResponse, Sequence[Entry]], None]
"""Answers several entries of one batch: ``response`` has the rows of all of them, in order.

It must mark each entry done, pass over those that are, and may not raise.
"""


class Ticket(Protocol):
    """A request that was taken."""

    def cancel(self) -> None:
        """Withdraw it: dropped before execution, told to nobody, its neighbours not touched."""


class DataPlane(Protocol):
    """All methods are called on the event loop and none blocks.

    Every method that takes a model name and version ("" for the server's choice) raises
    NotFound for what does not exist and NotReady for a version that is not READY.
    """

    def submit(self, request: InferRequest, sink: Sink, together: Together | None = None) -> Ticket:
        """Answer one request through ``sink``, exactly once, perhaps before this returns.

        Raises at once what can be decided at once (bad request, refusal), and then ``sink`` is
        not called. A transport that renders the answers of a whole batch in one go passes
        ``together``, always the same one: it is called in place of ``sink`` for requests that
        want every output as it is and have no parameters.
        """

    def submit_block(
        self, block: RequestBlock, sinks: Sequence[Sink], together: Together
    ) -> Sequence[Ticket | PenstockError]:
        """``submit`` for every request of a block, with what it returns or raises for each.

        Their deadline is the model's own. Raises what concerns all of them: no such model.
        """

    def infer(self, request: InferRequest) -> asyncio.Future[InferResponse]:
        """``submit`` for callers that wait for one answer.

        Everything that is decided later is the future's exception, always a PenstockError.
        Cancelling the future withdraws the request.
        """

    def signature(self, model_name: str, model_version: str) -> Signature:
        """The signature of a ready version."""

    def server_live(self) -> bool:
        """Whether the process works; True until the very end of a drain."""

    def server_ready(self) -> bool:
        """Whether all models have been tried, one at least answers, and the server is not stopping.

        A broken model does not make the server unready: that would take the good ones away from
        their callers too. Its own readiness, the index and the metrics tell of it.
        """

    def model_ready(self, model_name: str, model_version: str) -> bool:
        """Whether a version takes requests. Raises NotFound, never NotReady."""

    def server_metadata(self) -> Reply:
        """``{"name", "version", "extensions"}``."""

    def model_metadata(self, model_name: str, model_version: str) -> Reply:
        """``{"name", "versions", "platform", "inputs", "outputs"}``."""

    def model_config(self, model_name: str, model_version: str) -> Reply:
        """Triton's ModelConfig in JSON form."""

    def statistics(self, model_name: str = "", model_version: str = "") -> Reply:
        """``{"model_stats": [...]}``; an empty name means all models."""

    def repository_index(self, ready_only: bool) -> asyncio.Future[list[Reply]]:
        """``[{"name", "version", "state", "reason"}]``, models that failed to load included.

        Where clients load models, also those that are not loaded.
        """

    def load_model(self, model_name: str, override: Override) -> asyncio.Future[None]:
        """Load a model on request, or load it again; done when it answers.

        The future's exception, a PenstockError, says why not; Unavailable while model control is
        off. Cancelling it only ends the wait.
        """

    def unload_model(self, model_name: str) -> asyncio.Future[None]:
        """Unload a model on request; done when it has answered what it took, and is freed.

        Exceptions and cancelling are as with ``load_model``.
        """

    def feedback(self, model_name: str, outcomes: Sequence[Outcome]) -> None:
        """Callers say what became of predictions; all of it is counted, or nothing.

        Raises:
            NotFound, NotReady: a version is none that answers.
            InvalidRequest: an outcome is no number.
        """

    def count_error(self, protocol: str, code: Code, model_name: str) -> None:
        """Count an error answer; called once for each, by the transport that renders it."""
