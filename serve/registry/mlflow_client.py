"""MLflow's registry, through its own client. The only module that imports mlflow.

``mlflow-skinny`` is enough where the registry is reached over HTTP.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from serve.config.source import RegistryReference
from serve.errors import RepositoryError
from serve.registry.client import Package, Registered, problem_with
from serve.registry.mlmodel import write_mlmodel

__all__ = ["DIGEST_TAG", "MlflowRegistry", "open_mlflow"]

DIGEST_TAG = "penstock.digest"
ARTEFACT_FOLDER = PurePosixPath("model")
"""Of a run: where the package's files are."""
MOST_FILES = 10_000
MOST_VERSIONS = 2_000
"""Of a registered model, that are looked through for a package that is there already."""
TIMEOUT_S = 30
RETRIES = 2
REFUSED = re.compile(r"UNAUTHENTICATED|PERMISSION_DENIED|\b40[13] Client Error")
DATABASES = ("sqlite:", "postgresql:", "mysql:", "mssql:")
NO_URI = (
    "say where it is with --tracking-uri, as in http://mlflow:5000, or with MLFLOW_TRACKING_URI"
)
CREDENTIALS = (
    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, to those"
    " of somebody who may"
)


def open_mlflow(tracking_uri: str | None) -> MlflowRegistry:
    """A connection to the registry at ``tracking_uri``; nothing is sent yet.

    Raises:
        RepositoryError: the address is missing, or mlflow is not installed.
    """
    if not tracking_uri:
        raise problem_with("MLflow", "nobody says where its registry is", NO_URI)
    try:
        import mlflow
        from mlflow import environment_variables as settings
    except ModuleNotFoundError as error:
        raise problem_with(
            "MLflow",
            f"its client needs the package {error.name}",
            "install the extra: pip install 'penstock[mlflow]'",
        ) from error
    # Its own defaults are two minutes seven times over; what the user has set stays.
    for variable, value in (
        (settings.MLFLOW_HTTP_REQUEST_TIMEOUT, TIMEOUT_S),
        (settings.MLFLOW_HTTP_REQUEST_MAX_RETRIES, RETRIES),
        (settings.MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR, False),
        # Standard output is for what was asked for.
        (settings.MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT, True),
    ):
        if not variable.is_set():
            variable.set(value)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return MlflowRegistry(mlflow, tracking_uri)


class MlflowRegistry:
    """See ``serve.registry.client.Registry``."""

    def __init__(self, mlflow: Any, tracking_uri: str) -> None:
        self._mlflow = mlflow
        self._uri = tracking_uri
        self.where = without_credentials(tracking_uri)
        with self._asking("the registry"):
            self._client: Any = mlflow.MlflowClient(tracking_uri, registry_uri=tracking_uri)

    def resolve(self, reference: RegistryReference) -> Registered:
        """See ``Registry.resolve``."""
        with self._asking(reference):
            try:
                found = (
                    self._client.get_model_version_by_alias(reference.name, reference.alias)
                    if reference.alias
                    else self._client.get_model_version(reference.name, str(reference.number))
                )
            except self._mlflow.exceptions.MlflowException as error:
                if not _is_absent(error):
                    raise
                raise self._absent(reference) from error
            if found.status != "READY":
                raise problem_with(
                    reference,
                    f"version {found.version} is {found.status}, not READY",
                    "register it again, or wait until its files are there",
                )
            return _registered(found)

    def download(self, version: Registered, folder: Path) -> Path:
        """See ``Registry.download``."""
        what = f"models:/{version.name}/{version.number}"
        artifacts = self._mlflow.artifacts
        with self._asking(what):
            uri = self._client.get_model_version_download_uri(version.name, str(version.number))
            files = Path(
                artifacts.download_artifacts(
                    artifact_uri=uri, dst_path=str(folder), tracking_uri=self._uri
                )
            )
            for path, size in self._listed(uri, what):
                file = files / path
                there = file.stat().st_size if file.is_file() else None
                if there is None or (size is not None and size != there):
                    came = "is missing" if there is None else f"has {there} bytes of {size}"
                    raise problem_with(
                        what, f"its download is not whole: {path} {came}", "pull it again"
                    )
            return files

    def register(self, name: str, package: Package, alias: str = "") -> tuple[Registered, bool]:
        """See ``Registry.register``."""
        what = f"models:/{name}"
        client = self._client
        with self._asking(what):
            known = self._known(name, package.digest)
            made = known or self._make(name, package)
            if alias:
                client.set_registered_model_alias(name, alias, made.version)
            return _registered(made), known is None

    def _make(self, name: str, package: Package) -> Any:
        from mlflow.entities import Metric, Param, RunTag

        client = self._client
        found = client.get_experiment_by_name(name)
        experiment = found.experiment_id if found is not None else client.create_experiment(name)
        run = client.create_run(experiment, run_name=f"{name}/{package.folder.name}")
        run_id = run.info.run_id
        try:
            started_ms = run.info.start_time
            client.log_batch(
                run_id,
                metrics=[Metric(k, v, started_ms, 0) for k, v in package.metrics.items()],
                params=[Param(key, value) for key, value in package.params.items()],
                tags=[RunTag(key, value) for key, value in package.tags.items()],
            )
            for path in package.files:
                inside = path.relative_to(package.folder).parent
                client.log_artifact(run_id, str(path), (ARTEFACT_FOLDER / inside).as_posix())
            write_mlmodel(
                package,
                run_id,
                lambda path: client.log_artifact(run_id, str(path), ARTEFACT_FOLDER.as_posix()),
            )
            if self._registered_model(name) is None:
                client.create_registered_model(name)
            made = client.create_model_version(
                name,
                f"{run.info.artifact_uri}/{ARTEFACT_FOLDER}",
                run_id,
                tags={**package.tags, DIGEST_TAG: package.digest},
            )
        except BaseException:
            with suppress(Exception):  # where it cannot be told, it cannot
                client.set_terminated(run_id, "FAILED")
            raise
        client.set_terminated(run_id)
        return made

    def _known(self, name: str, digest: str) -> Any:
        """The version of this package that is registered already; None: there is none."""
        if self._registered_model(name) is None:
            return None
        seen = 0
        token = None
        while seen < MOST_VERSIONS:
            page = self._client.search_model_versions(
                f"name = '{name}'", max_results=200, page_token=token
            )
            for version in page:
                if version.tags.get(DIGEST_TAG) == digest and version.status == "READY":
                    return version
            seen += len(page)
            token = page.token
            if not token:
                return None
        return None

    def _registered_model(self, name: str) -> Any:
        try:
            return self._client.get_registered_model(name)
        except self._mlflow.exceptions.MlflowException as error:
            if _is_absent(error):
                return None
            raise

    def _listed(self, uri: str, what: str) -> Iterator[tuple[str, int | None]]:
        """The files of a version by path in it, with their size where the store tells it."""
        left, seen = [""], 0
        root = uri.rstrip("/")
        inside = urlsplit(root).path.strip("/")
        while left:
            at = left.pop()
            place = f"{root}/{at}" if at else root
            for entry in self._mlflow.artifacts.list_artifacts(
                artifact_uri=place, tracking_uri=self._uri
            ):
                seen += 1
                if seen > MOST_FILES:
                    raise problem_with(
                        what, f"it has over {MOST_FILES} files", "register the model's own alone"
                    )
                # Some stores tell paths from their own root, some from the place asked for.
                name = entry.path.removeprefix(f"{inside}/").rpartition("/")[2]
                path = f"{at}/{name}" if at else name
                if entry.is_dir:
                    left.append(path)
                else:
                    yield path, entry.file_size

    def _absent(self, reference: RegistryReference) -> RepositoryError:
        """What there is in place of what was asked for."""
        model = self._registered_model(reference.name)
        if model is None:
            return problem_with(
                reference,
                f"there is no model {reference.name!r} in {self.where}",
                "register one, or correct the name",
            )
        aliases = ", ".join(f"{alias} ({n})" for alias, n in sorted(model.aliases.items()))
        latest = max((int(each.version) for each in model.latest_versions), default=None)
        what = f"alias {reference.alias!r}" if reference.alias else f"version {reference.number}"
        return problem_with(
            reference,
            f"{reference.name!r} has no {what}",
            f"set it in MLflow, or name another; its aliases are {aliases or 'none'}, its latest"
            f" version is {latest or 'none'}",
        )

    @contextmanager
    def _asking(self, what: object) -> Iterator[None]:
        """What goes wrong inside, as an error that says what to do."""
        try:
            yield
        except RepositoryError:
            raise
        except Exception as error:  # its client lets those of a dozen libraries through
            raise self._told(what, error) from error

    def _told(self, what: object, error: Exception) -> RepositoryError:
        text = " ".join(str(error).split()).replace(self._uri, self.where)
        code = str(getattr(error, "error_code", ""))
        if refused := REFUSED.search(f"{code} {text}"):
            stranger = refused[0].startswith(("UNAUTHENTICATED", "401"))
            said = "does not let us in" if stranger else "does not allow it"
            return problem_with(what, f"{self.where} {said}", CREDENTIALS)
        if code == "ENDPOINT_NOT_FOUND":
            return problem_with(
                what,
                f"what answers at {self.where} is no MLflow server of a version that we know",
                "correct --tracking-uri (MLFLOW_TRACKING_URI)",
            )
        if "Max retries exceeded" in text or "Connection" in text:
            return problem_with(
                what,
                f"no registry answers at {self.where}",
                "start it, or correct --tracking-uri (MLFLOW_TRACKING_URI), and try again",
            )
        if self._uri.startswith(DATABASES):
            return problem_with(
                what,
                f"{self.where} cannot be opened: {text[:300]}",
                "a registry in a database takes all of MLflow (pip install mlflow); over HTTP its"
                " client is enough",
            )
        if "registry functionality is unavailable" in text:
            return problem_with(what, f"{self.where} is no registry's address", NO_URI)
        said = f"{type(error).__name__}: {text[:300]}"
        return problem_with(
            what, f"{self.where} failed: {said}", "look at the registry's log, and try again"
        )


def without_credentials(uri: str) -> str:
    """An address as it may be logged and written down."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl() if parts.netloc else uri


def _is_absent(error: Any) -> bool:
    code = getattr(error, "error_code", "")
    return code == "RESOURCE_DOES_NOT_EXIST" or (
        code == "INVALID_PARAMETER_VALUE" and "not found" in str(error)
    )


def _registered(version: Any) -> Registered:
    return Registered(
        version.name,
        int(version.version),
        version.run_id or "",
        int(version.creation_timestamp),
        version.source or "",
    )
