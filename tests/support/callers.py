"""Clients that ask a model without a pause, over HTTP and gRPC."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http

__all__ = ["TRANSPORTS", "Callers", "infer"]

CALLERS = 2
"""For each protocol."""
PATIENCE_S = 60
TRANSPORTS = {"http": tritonclient.http, "grpc": tritonclient.grpc}


def infer(
    module: ModuleType, client: Any, value: float, version: str = "", **parameters: Any
) -> tuple[float, str]:
    """What ``m`` makes of a value, and which version did."""
    tensor = module.InferInput("x", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.full((1, 1), value, np.float32))
    result = client.infer("m", [tensor], model_version=version, parameters=parameters or None)
    reply = result.get_response()
    answered = reply["model_version"] if isinstance(reply, dict) else reply.model_version
    return float(result.as_numpy("y")[0, 0]), answered


class Callers:
    """Ask without a pause, over both protocols, and note what was wrong."""

    def __init__(self, http: str, grpc: str, ask: Callable[[ModuleType, Any, int], str]) -> None:
        """``ask``: one request by a client of a module; gives what was wrong, or nothing."""
        self.problems: list[str] = []
        self.answered = 0
        self._over = threading.Event()
        self._ask = ask
        self._threads = [
            threading.Thread(target=self._call, args=(TRANSPORTS[name], address))
            for name, address in (("http", http), ("grpc", grpc))
            for _ in range(CALLERS)
        ]

    def _call(self, module: ModuleType, address: str) -> None:
        with module.InferenceServerClient(address) as client:
            number = 0
            while not self._over.is_set():
                number += 1
                try:
                    problem = self._ask(module, client, number)
                except Exception as error:
                    problem = repr(error)
                if problem:
                    self.problems.append(problem)
                    return
                self.answered += 1

    @contextmanager
    def calling(self) -> Iterator[Callers]:
        """Until the block ends; asserts that nothing was wrong."""
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join(PATIENCE_S)
        assert self.problems == []
        assert self.answered
