"""The server put together, and its life: start, serve, drain, stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

from serve.clock import NS_PER_MS, Clock, monotonic_ns, steady_epoch
from serve.config import ServerSettings
from serve.executors.ray.authority_link import AuthorityLink
from serve.executors.ray.plan import Plan
from serve.executors.remote.options import RemoteOptions
from serve.gateway.control import Controller
from serve.gateway.local_traffic import LocalTraffic
from serve.gateway.model_control import ModelControl
from serve.gateway.overview import Replicas
from serve.gateway.remote_control import RemoteController, ReplicaFinder
from serve.listening import Listening
from serve.repository.catalogue import Catalogue
from serve.repository.manifest import Manifest
from serve.traffic.authority import Authority
from serve.traffic.store import STATE, Store

__all__ = ["App", "GatewayApp"]

log = logging.getLogger("penstock.app")

FORCED_EXIT = 130


class App(Listening):
    """One process's server, with the models in it."""

    def __init__(
        self,
        repository: Path,
        settings: ServerSettings,
        clock: Clock = monotonic_ns,
        *,
        renew: Callable[[], None] = lambda: None,
    ) -> None:
        """``renew`` brings the repository's folder up to date, see ``ModelControl``."""
        super().__init__(settings, clock)
        self._controller: Controller = Controller(
            self._table,
            self._metrics,
            clock,
            self._loop,
            load_timeout_s=settings.load_timeout_s,
            drain_timeout_s=settings.drain_timeout_s,
            make_endpoint=self._make_endpoint,
            place=self._follower.place,
        )
        self._control = ModelControl(
            repository,
            self._controller,
            self._table,
            mode=settings.model_control_mode,
            poll_s=settings.repository_poll_secs,
            renew=renew,
            needed=self._follower.needed,
        )
        self.gateway.set_control(self._control)
        store = Store(settings.state or repository / STATE)
        authority = Authority(store, Catalogue(repository), steady_epoch(clock), self._loop)
        self._traffic = LocalTraffic(authority, self._follower, self._control)
        self._open(self._traffic)
        self._rereading: asyncio.Task[None] | None = None

    async def start(self) -> bool:
        """Listen, then load every model. False: a model failed, and ``strict`` is set.

        Probes are answered while models load. Raises what a listener raises if it cannot bind,
        and RepositoryError if the repository itself cannot be read.
        """
        await self._traffic.start()
        repository = await self._control.read()
        if self._settings.model_control_mode == "poll" and not self._settings.tracking_uri:
            for entry in repository.models.values():
                if entry.config.source:
                    log.warning(
                        "model '%s' does not follow %s: nobody says where the registry is; give"
                        " --tracking-uri, or set MLFLOW_TRACKING_URI",
                        entry.name,
                        entry.config.source,
                    )
        await self._listen()
        await self._control.start(repository, self._settings.load_model)
        self._tried_all()
        self._traffic.begin()
        if self._controller.failures and self._settings.strict:
            log.error("%d models failed, and --strict is set", self._controller.failures)
            return False
        took_ms = (self._clock() - self._started_ns) / NS_PER_MS
        log.info("serving %s after %.0f ms", self.addresses(), took_ms)
        return True

    def _reload(self, name: str) -> None:
        self._control.begin_refresh(name)

    def _manifests(self, name: str) -> dict[str, Manifest]:
        return self._controller.manifests(name)

    async def drain(self) -> None:
        """See ``Listening.drain``; models stay as they are from now on."""
        self._traffic.stop()
        self._control.stop()
        await super().drain()

    async def stop(self, grace_s: float) -> None:
        """See ``Listening.stop``."""
        self._control.stop()
        self._traffic.stop()
        await super().stop(grace_s)
        await self._traffic.close()

    async def run_until_signal(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain; a second signal ends the process at once."""
        asked = asyncio.Event()

        def on_signal() -> None:
            if asked.is_set():
                log.warning("second signal: ending at once")
                logging.shutdown()
                _exit_now()
            asked.set()

        def on_reread() -> None:
            log.info("SIGHUP: reading the repository again")
            self._rereading = self._loop.create_task(self._control.reread())

        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, on_signal)
        self._loop.add_signal_handler(signal.SIGHUP, on_reread)
        start = asyncio.create_task(self.start())
        told = asyncio.create_task(asked.wait())
        await asyncio.wait((start, told), return_when=asyncio.FIRST_COMPLETED)
        if not start.done():  # told to end while models load
            start.cancel()
            await asyncio.wait((start,))
            await self.drain()
        elif await start:
            await told
            log.info("draining for at most %.0f s", self._settings.drain_timeout_s)
            await self.drain()
        else:
            told.cancel()
            await self.stop(0)
            raise SystemExit(1)


class GatewayApp(Listening):
    """A server whose models run in replicas elsewhere; a plan says which."""

    def __init__(
        self,
        settings: ServerSettings,
        finder: ReplicaFinder,
        options: RemoteOptions,
        link: AuthorityLink,
        clock: Clock = monotonic_ns,
    ) -> None:
        super().__init__(settings, clock)
        self._controller: RemoteController = RemoteController(
            self._table,
            self._metrics,
            clock,
            self._loop,
            finder=finder,
            options=options,
            drain_timeout_s=settings.drain_timeout_s,
            make_endpoint=self._make_endpoint,
            place=self._follower.place,
            settle=self._follower.settle,
        )
        self._link = link
        self._open(link)
        self._complete = False

    async def start(self) -> None:
        """Listen, beside other gateways of this machine; probes are answered from now on."""
        await self._link.start(self._follower.follow, self._follower.report)
        await self._listen(share_ports=True)
        log.info("gateway on %s", self.addresses())

    def _manifests(self, name: str) -> dict[str, Manifest]:
        return self._controller.manifests(name)

    def _replicas(self) -> dict[tuple[str, str], Replicas]:
        return self._controller.replicas()

    async def stop(self, grace_s: float) -> None:
        """See ``Listening.stop``."""
        self._link.close()
        await super().stop(grace_s)

    async def apply(self, plan: Plan) -> None:
        """Serve what the plan says from now on; see ``RemoteController.apply``."""
        await self._controller.apply(plan)
        if plan.complete and not self._complete:
            self._complete = True
            self._tried_all()


def _exit_now() -> None:
    """End without a word to anybody: the user asked twice."""
    os._exit(FORCED_EXIT)
