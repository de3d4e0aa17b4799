"""Loading a version in a thread that nobody has to wait for.

The standard pool is not used: the interpreter joins its threads at exit, and a model that hangs
while it is imported would keep the process from ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, TypeVar

from serve.backends.base import BackendSource
from serve.clock import Clock
from serve.errors import RepositoryError
from serve.executors.loader import Prepared, prepare
from serve.repository.config_pbtxt import in_triton_terms

__all__ = ["in_thread", "not_loaded_in_time", "start_load"]

T = TypeVar("T")


def start_load(source: BackendSource, clock: Clock, *, beside: bool = False) -> Future[Prepared]:
    """Prepare a version in a daemon thread; cancel the future to give it up.

    ``beside``: while others are asked, see ``prepare``.
    A load cannot be interrupted: one that was given up runs on, and is closed if it ever ends.
    """
    future: Future[Prepared] = Future()

    def load() -> None:
        try:
            prepared = prepare(source, clock, beside=beside)
        except RepositoryError as error:
            _settle(future, in_triton_terms(error))
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            _settle(future, error)
        except BaseException as error:  # noqa: BLE001 - would end whoever waits, too
            _settle(future, _ended(source, error))
        else:
            try:
                future.set_result(prepared)
            except InvalidStateError:
                prepared.backend.close()

    name = f"penstock-load-{source.model_name}-{source.version}"
    threading.Thread(target=load, name=name, daemon=True).start()
    return future


def in_thread(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """What ``work`` gives, from a daemon thread of this name: it may block on a disk for ever."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            _settle(future, error)
        else:
            with contextlib.suppress(InvalidStateError):
                future.set_result(result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return asyncio.wrap_future(future)


def not_loaded_in_time(source: BackendSource, timeout_s: float) -> RepositoryError:
    """The error of a version whose load was given up."""
    return RepositoryError(
        path=str(source.artefact),
        problem=f"was not loaded after {timeout_s:g} s",
        remedy="see what it waits for, or allow more time with --load-timeout",
    )


def _settle(future: Future[Any], error: Exception) -> None:
    with contextlib.suppress(InvalidStateError):  # given up: nobody is left to be told
        future.set_exception(error)


def _ended(source: BackendSource, error: BaseException) -> RepositoryError:
    return RepositoryError(
        path=str(source.artefact),
        problem=f"loading it raised {type(error).__name__}",
        remedy="let the model's own code raise ordinary exceptions only",
    )
