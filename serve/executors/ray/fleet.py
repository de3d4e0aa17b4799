"""Serve's applications, kept as a repository asks for. Imports ray.

Every version is an application of its own, whose name says what it is made of: other settings or
other files make another one. It starts beside the one before, gateways turn to it when enough of
its replicas are ready, and then the one before is deleted. So a version that does not start
replaces nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from ray import serve

from serve.backends.base import BackendSource
from serve.clock import NS_PER_S, Clock
from serve.config import ServerSettings
from serve.errors import PenstockError
from serve.executors.loader import source_of
from serve.executors.ray.cluster import Cluster
from serve.executors.ray.deployments import application_name, engines
from serve.executors.ray.engine_replica import EngineSpec
from serve.executors.ray.failure import last_line
from serve.executors.ray.gateway_replica import GatewaySpec, MakeServer
from serve.executors.ray.gateway_tier import GRACE_S, GatewayTier, places
from serve.executors.ray.placement import actor_options, unmet
from serve.executors.ray.plan import Plan, Served, manifest_text, settings_text
from serve.executors.ray.router import ENGINE
from serve.executors.ray.status import Progress, Seen, state_of
from serve.repository.entry import ModelEntry, Repository
from serve.repository.manifest import read_manifest, settings_of

__all__ = ["Fleet"]

log = logging.getLogger("penstock.ray")

Key = tuple[str, int]
LOADING = Progress("LOADING")
FAILING = ("DEPLOY_FAILED", "UNHEALTHY")
STOP_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A version, its application, and how far that is."""

    source: BackendSource
    application: str
    began_ns: int
    progress: Progress = LOADING
    manifest: str = ""


class Fleet:
    """Deploys, looks, tells gateways, deletes. Methods block on Serve's controller."""

    def __init__(
        self,
        cluster: Cluster,
        settings: ServerSettings,
        make: MakeServer,
        clock: Clock,
        *,
        gateway_count: int,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._clock = clock
        self._gateway_count = gateway_count
        self._gateways = GatewayTier(settings.name, GatewaySpec(make, settings, cluster.secret))
        self._wanted: dict[Key, _Wanted] = {}
        self._serving: dict[Key, _Wanted] = {}
        self._broken: tuple[Served, ...] = ()
        self._deployed: set[str] = set()
        self._adopted: set[str] = set()
        self._ill: set[str] = set()
        self._tried = False

    @property
    def failures(self) -> int:
        """Versions, and models of which no version is known, that are not served."""
        return sum(served.state == "UNAVAILABLE" for served in self._plan().versions)

    def adopt(self) -> None:
        """Take over what a server of the same name has left in the cluster: it goes on answering.

        Waits until what is about to go is gone.
        """
        give_up_ns = self._clock() + int((self._settings.drain_timeout_s + GRACE_S) * NS_PER_S)
        prefix = f"{self._settings.name}:"
        while True:
            left = {
                name: application.status
                for name, application in serve.status().applications.items()
                if name.startswith(prefix)
            }
            if "DELETING" not in left.values() or self._clock() > give_up_ns:
                break
            time.sleep(STOP_POLL_S)
        left.pop(self._gateways.name, None)
        for name in left:
            log.info("taking over %s, of an earlier server of this name", name)
        self._adopted = set(left)
        self._deployed |= self._adopted

    def want(self, repository: Repository, read: Collection[str] | None = None) -> None:
        """Have the repository's versions served from now on; see ``look`` for how far it is.

        ``read`` are the models that were read again, None: all of them. Others stay as they are,
        whatever has happened to their files.
        """
        broken = [each for each in self._broken if read is not None and each.name not in read]
        wanted = {
            key: each
            for key, each in self._wanted.items()
            if read is not None and key[0] not in read
        }
        for model in repository.unbuilt.values():
            if read is None or model.name in read:
                log.info("model '%s' is not served: %s", model.name, model.error)
        for model in repository.broken.values():
            if read is None or model.name in read:
                broken.append(_not_served(model.name, 0, model.error))
        for entry in repository.models.values():
            if read is None or entry.name in read:
                wanted |= self._wanted_of(entry, broken)
        self._broken = tuple(broken)
        self._wanted = wanted
        self._tell()

    def look(self) -> bool:
        """See how far the applications are, and tell the gateways; whether all is settled."""
        applications = serve.status().applications
        for key, wanted in list(self._wanted.items()):
            before = wanted.progress
            if before.state == "READY" or before.final:
                continue
            progress = self._seen(wanted, applications.get(wanted.application))
            self._wanted[key] = replace(wanted, progress=progress)
            if progress.state == "READY":
                self._serving[key] = self._wanted[key]
            elif progress != before and progress.state == "UNAVAILABLE":
                log.error("model '%s' version %d is not served: %s", *key, progress.reason)
        for key in self._serving.keys() - self._wanted.keys():
            if key not in self._kept():
                del self._serving[key]
        waiting = any(w.progress.state == "LOADING" for w in self._wanted.values())
        self._tried = self._tried or not waiting
        if self._tell():
            return False  # what Serve said of the gateways was before
        for each in {self._gateways.name} | {w.application for w in self._serving.values()}:
            self._say_health(each, applications.get(each))
        gateway = applications.get(self._gateways.name)
        told = gateway is not None and gateway.status == "RUNNING"
        if told:
            self._delete_unused(waiting)
        return told and not waiting

    def replicas(self) -> dict[str, int]:
        """Ready replicas by model and version, for people."""
        applications = serve.status().applications
        counts = {}
        for (name, version), serving in self._serving.items():
            seen = applications.get(serving.application)
            if seen is not None and ENGINE in seen.deployments:
                states = seen.deployments[ENGINE].replica_states
                counts[f"{name}/{version}"] = states.get("RUNNING", 0)
        return counts

    def stop(self) -> None:
        """End the gateways, which answer what they accepted; then the replicas."""
        if self._gateways.name in serve.status().applications:
            serve.delete(self._gateways.name)
        # Not those that never had a replica: Serve would wait for one, as long as it may drain.
        ending = {
            name
            for name, application in serve.status().applications.items()
            if name in self._deployed and _has_replica(application)
        }
        for application in self._deployed:
            serve.delete(application, _blocking=False)
        self._deployed.clear()
        give_up_ns = self._clock() + int((self._settings.drain_timeout_s + GRACE_S) * NS_PER_S)
        while ending & serve.status().applications.keys() and self._clock() < give_up_ns:
            time.sleep(STOP_POLL_S)

    # inside

    def _wanted_of(self, entry: ModelEntry, broken: list[Served]) -> dict[Key, _Wanted]:
        """The versions of a model that was read; those that cannot be served go to ``broken``."""
        for warning in entry.warnings:
            log.warning("%s", warning)
        for number, error in entry.broken_versions.items():
            broken.append(_not_served(entry.name, number, error))
        wanted: dict[Key, _Wanted] = {}
        for version in entry.versions:
            key = (entry.name, version.number)
            try:
                source, manifest = _with_manifest(source_of(entry, version))
            except PenstockError as error:
                broken.append(_not_served(*key, error))
                continue
            name = application_name(self._settings.name, source)
            known = self._wanted.get(key)
            if known is None or known.application != name:
                known = _Wanted(source, name, self._clock())
            elif known.progress.final:  # what it failed for may be mended
                self._delete(name)
                known = _Wanted(source, name, self._clock())
            # What makes no other application, labels, may still be another.
            wanted[key] = replace(known, source=source, manifest=manifest)
            serving = self._serving.get(key)
            if serving is not None and serving.application == name:
                self._serving[key] = replace(serving, source=source, manifest=manifest)
        return wanted

    def _spec(self, wanted: _Wanted) -> EngineSpec:
        # A folder for each application: who listens looks through its folder for dead sockets.
        folder = self._cluster.folder / wanted.application.rpartition(":")[2]
        return EngineSpec(wanted.source, self._settings, folder, self._cluster.secret)

    def _seen(self, wanted: _Wanted, application: Any) -> Progress:
        config = wanted.source.config
        deployment = None if application is None else application.deployments.get(ENGINE)
        options = actor_options(config.resources, self._cluster.default_cpus)
        return state_of(
            Seen(
                status="" if application is None else str(application.status.value),
                message="" if deployment is None else deployment.message,
                replicas={} if deployment is None else deployment.replica_states,
                needed=config.autoscaling.min_replicas,
                unmet=unmet(options, self._cluster.nodes()),
                waited_s=(self._clock() - wanted.began_ns) / NS_PER_S,
                load_timeout_s=self._settings.load_timeout_s,
            )
        )

    def _plan(self) -> Plan:
        """What gateways should serve: of each version what is ready, the one before until then."""
        versions = []
        for key, wanted in self._wanted.items():
            shown = self._serving.get(key, wanted)
            versions.append(
                Served(
                    *key,
                    shown.progress.state,
                    # Not how far it is: gateways would be told at every step.
                    shown.progress.reason * (shown.progress.state == "UNAVAILABLE"),
                    shown.application,
                    settings_text(shown.source.config),
                    shown.manifest,
                )
            )
        for key in self._kept():
            serving = self._serving[key]
            text = settings_text(serving.source.config)
            versions.append(Served(*key, "READY", "", serving.application, text, serving.manifest))
        return Plan((*versions, *self._broken), self._tried)

    def _kept(self) -> list[Key]:
        """Versions that go, and are served until all those of the model that come are ready."""
        coming = {name for (name, _), w in self._wanted.items() if w.progress.state != "READY"}
        coming |= {served.name for served in self._broken}
        return [key for key in self._serving if key not in self._wanted and key[0] in coming]

    def _say_health(self, name: str, application: Any) -> None:
        """Log once that an application which is used fails, and once that it is well again."""
        status = "" if application is None else str(application.status.value)
        if status in FAILING and name not in self._ill:
            self._ill.add(name)
            messages = [deployment.message for deployment in application.deployments.values()]
            log.error("%s is %s: %s", name, status, last_line("\n".join(messages)))
        elif status == "RUNNING" and name in self._ill:
            self._ill.discard(name)
            log.info("%s is well again", name)

    def _tell(self) -> bool:
        """Deploy what is new, and let gateways know if their plan is another; whether it is.

        Serve calls the gateways RUNNING again when all of them have done what it says.
        """
        new = [
            w
            for w in self._wanted.values()
            if w.application not in self._deployed and not w.progress.final
        ]
        targets = [engines(w.application, self._spec(w), self._cluster.default_cpus) for w in new]
        plan = self._plan()
        where = places(self._gateway_count, self._cluster.own, self._cluster.nodes())
        tier = self._gateways.target(plan, where)
        if tier is not None:
            targets.append(tier)
        if targets:
            serve.run_many(
                targets,
                wait_for_ingress_deployment_creation=False,
                wait_for_applications_running=False,
            )
            self._deployed |= {w.application for w in new}
            self._gateways.told(plan, where)
        return tier is not None

    def _delete_unused(self, waiting: bool) -> None:
        """Delete applications that no gateway uses any more, and those that will never run.

        What was taken over may be in use, as long as versions are waited for.
        """
        used = {w.application for w in self._wanted.values() if not w.progress.final}
        used |= {serving.application for serving in self._serving.values()}
        if waiting:
            used |= self._adopted
        for application in self._deployed - used:
            log.info("deleting %s", application)
            self._delete(application, wait=False)

    def _delete(self, application: str, wait: bool = True) -> None:
        serve.delete(application, _blocking=wait)
        self._deployed.discard(application)
        self._adopted.discard(application)
        self._ill.discard(application)


def _has_replica(application: Any) -> bool:
    deployment = application.deployments.get(ENGINE)
    return deployment is not None and deployment.replica_states.get("RUNNING", 0) > 0


def _not_served(name: str, version: int, error: PenstockError) -> Served:
    where = f"model '{name}'" + (f" version {version}" * bool(version))
    log.error("%s is not served: %s", where, error)
    return Served(name, version, "UNAVAILABLE", str(error))


def _with_manifest(source: BackendSource) -> tuple[BackendSource, str]:
    """A source with the settings that its manifest adds, as gateways need them; and that."""
    manifest = read_manifest(source.artefact.parent)
    if manifest is None:
        return source, ""
    settings = settings_of(source.config, manifest)
    return replace(source, config=settings), manifest_text(manifest)
