"""The files for KubeRay: they fit together, and what they name exists here.

Their schemas are not part of this repository. With ``PENSTOCK_RAYSERVICE_CRD`` set to KubeRay's
``ray-operator/config/crd/bases/ray.io_rayservices.yaml`` (of 1.6.0 or newer) the RayService is
checked against that; the other files are of kinds that change no more, and checked by hand.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from serve.config import AdminSettings, GrpcSettings, HttpSettings, ServerSettings
from tests.support.structural import problems

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy/kuberay"
SELECTED = {"name": "app.kubernetes.io/name", "role": "penstock/role"}
KINDS = {
    "Service": ("v1", {"clusterIP", "ports", "selector"}),
    "PodDisruptionBudget": ("policy/v1", {"maxUnavailable", "selector"}),
    "NetworkPolicy": ("networking.k8s.io/v1", {"ingress", "podSelector", "policyTypes"}),
}
PORT_FIELDS = {"appProtocol", "name", "port", "protocol", "targetPort"}


def documents(name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((FOLDER / name).read_text()) if each]


def everything() -> list[dict[str, Any]]:
    (kustomization,) = documents("kustomization.yaml")
    return [each for name in kustomization["resources"] for each in documents(name)]


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    (document,) = documents("rayservice.yaml")
    return document


@pytest.fixture(scope="module")
def application(service: dict[str, Any]) -> dict[str, Any]:
    """What the file says of its one application of Serve."""
    (application,) = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    return application


@pytest.fixture(scope="module")
def groups(service: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The groups of pods by name."""
    cluster = service["spec"]["rayClusterConfig"]
    workers = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    return {"head": cluster["headGroupSpec"], **workers}


def container(group: dict[str, Any]) -> dict[str, Any]:
    (only,) = group["template"]["spec"]["containers"]
    return only


def labels(group: dict[str, Any]) -> dict[str, str]:
    return group["template"]["metadata"]["labels"]


def test_every_file_is_applied_and_kustomize_takes_them() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    (kustomization,) = documents("kustomization.yaml")
    assert set(kustomization["resources"]) == files
    if kubectl := shutil.which("kubectl"):
        built = subprocess.run([kubectl, "kustomize", FOLDER], capture_output=True, text=True)
        assert built.returncode == 0, built.stderr
        names = [(each["kind"], each["metadata"]["name"]) for each in everything()]
        made = list(yaml.safe_load_all(built.stdout))
        assert sorted((each["kind"], each["metadata"]["name"]) for each in made) == sorted(names)


def test_names_are_unique_and_carry_the_common_label() -> None:
    found = [(each["kind"], each["metadata"]["name"]) for each in everything()]
    assert len(set(found)) == len(found)
    assert all(
        each["metadata"]["labels"] == {SELECTED["name"]: "penstock"} for each in everything()
    )


def test_plain_kinds_have_their_version_and_only_fields_of_theirs() -> None:
    plain = [each for each in everything() if each["kind"] != "RayService"]
    assert {each["kind"] for each in plain} == set(KINDS)
    for each in plain:
        version, fields = KINDS[each["kind"]]
        assert each["apiVersion"] == version
        assert set(each) == {"apiVersion", "kind", "metadata", "spec"}
        assert set(each["spec"]) <= fields
        for port in ports_in(each["spec"]):
            assert set(port) <= PORT_FIELDS


def ports_in(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from spec.get("ports", [])
    for rule in spec.get("ingress", []):
        yield from rule.get("ports", [])


def test_rayservice_fits_the_schema_of_kuberay(service: dict[str, Any]) -> None:
    path = os.environ.get("PENSTOCK_RAYSERVICE_CRD")
    if path is None:
        pytest.skip("PENSTOCK_RAYSERVICE_CRD names no file")
    resource = yaml.safe_load(Path(path).read_text())
    (schema,) = (
        version["schema"]["openAPIV3Schema"]
        for version in resource["spec"]["versions"]
        if f"{resource['spec']['group']}/{version['name']}" == service["apiVersion"]
    )
    assert list(problems(service, schema)) == []
    group = service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]
    assert list(problems({**service, "spec": {"rayClusterConfig": group}}, schema))


def test_rayservice_asks_for_a_ray_that_the_package_takes(service: dict[str, Any]) -> None:
    (requirement,) = extras()["ray"]
    version = service["spec"]["rayClusterConfig"]["rayVersion"]
    least, below = re.findall(r"[\d.]+", requirement)
    as_numbers = [tuple(map(int, each.split("."))) for each in (least, version, below)]
    assert as_numbers == sorted(as_numbers)


def extras() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["optional-dependencies"]


def test_images_are_those_that_the_documentation_builds(groups: dict[str, Any]) -> None:
    text = (ROOT / "docs/scaling.md").read_text().replace("\\\n", " ")
    built = {}
    for line in re.findall(r"^docker build (.*?)(?:#.*)?$", text, re.MULTILINE):
        tag = re.search(r"-t (\S+)", line)
        file = re.search(r"-f (\S+)", line)
        wanted = re.search(r"EXTRAS=(\S+)", line)
        assert tag and wanted
        assert (ROOT / (file[1] if file else "Dockerfile")).is_file()
        assert "ARG EXTRAS" in (ROOT / (file[1] if file else "Dockerfile")).read_text()
        built[tag[1]] = wanted[1].split(",")
    assert {container(group)["image"] for group in groups.values()} == set(built)
    assert all("ray" in wanted and set(wanted) <= set(extras()) for wanted in built.values())


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "Dockerfile.gpu"])
def test_pods_run_as_the_user_of_the_images(groups: dict[str, Any], dockerfile: str) -> None:
    text = (ROOT / dockerfile).read_text()
    user = re.findall(r"^USER (\d+)$", text, re.MULTILINE)[-1]
    for group in groups.values():
        context = group["template"]["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True
        assert str(context["runAsUser"]) == user


def test_arguments_name_the_models_where_every_pod_has_them(
    groups: dict[str, Any], application: dict[str, Any]
) -> None:
    for group in groups.values():
        (mount,) = container(group)["volumeMounts"]
        (volume,) = group["template"]["spec"]["volumes"]
        assert mount["mountPath"] == application["args"]["repository"]
        assert mount["name"] == volume["name"]
        assert mount["readOnly"] and volume["persistentVolumeClaim"]["readOnly"]


def test_arguments_are_settings_of_the_server(application: dict[str, Any]) -> None:
    settings = ServerSettings.model_validate(application["args"]["settings"])
    listeners = (settings.http, settings.grpc, settings.admin)
    defaults = (HttpSettings(), GrpcSettings(), AdminSettings())
    assert [each.port for each in listeners if each] == [each.port for each in defaults]
    assert {each.host for each in listeners if each} == {"0.0.0.0"}


def test_ports_are_the_same_in_settings_pods_services_and_policies(
    groups: dict[str, Any], application: dict[str, Any]
) -> None:
    given = application["args"]["settings"]
    numbers = {name: given[name]["port"] for name in ("http", "grpc", "admin")}
    ports = container(groups["gateways"])["ports"]
    assert {each["name"]: each["containerPort"] for each in ports} == numbers
    services = [each for each in everything() if each["kind"] == "Service"]
    for each in services:
        for port in each["spec"]["ports"]:
            assert port["port"] == numbers[port["targetPort"]]
    (front,) = (each for each in services if each["metadata"]["name"] == "penstock")
    assert {each["targetPort"] for each in front["spec"]["ports"]} == {"http", "grpc"}
    (clients,) = (each for each in everything() if each["metadata"]["name"] == "penstock-clients")
    assert [each["port"] for each in ports_in(clients["spec"])] == list(numbers.values())


def test_every_selector_finds_pods(groups: dict[str, Any]) -> None:
    for each in everything():
        spec = each["spec"]
        selector = spec.get("selector", spec.get("podSelector"))
        if selector is None:
            continue
        wanted = selector.get("matchLabels", selector).items()
        assert any(wanted <= labels(group).items() for group in groups.values()), each["metadata"]
    for budget in (each for each in everything() if each["kind"] == "PodDisruptionBudget"):
        assert SELECTED["role"] in budget["spec"]["selector"]["matchLabels"]


def test_services_lead_to_gateways_alone(groups: dict[str, Any]) -> None:
    for each in everything():
        if each["kind"] == "Service":
            wanted = each["spec"]["selector"].items()
            found = [name for name, group in groups.items() if wanted <= labels(group).items()]
            assert found == ["gateways"]


def test_groups_grow_inside_their_bounds_and_ask_for_what_they_may_use(
    groups: dict[str, Any],
) -> None:
    for name, group in groups.items():
        if name != "head":
            assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
            resources = container(group)["resources"]
            assert resources["requests"] == resources["limits"]  # Ray counts with the limits
    assert groups["head"]["rayStartParams"]["num-cpus"] == "0"
    assert "nvidia.com/gpu" in container(groups["gpu"])["resources"]["limits"]
    assert groups["gateways"]["minReplicas"] == groups["gateways"]["maxReplicas"]


def test_gateway_pods_are_given_requests_when_the_server_says_that_it_is_ready(
    groups: dict[str, Any],
) -> None:
    probe = container(groups["gateways"])["readinessProbe"]["httpGet"]
    assert probe["port"] == "http"
    assert f'Pattern("{probe["path"]}"' in (ROOT / "serve/transport/http/v2.py").read_text()
    assert "livenessProbe" not in container(groups["gateways"])


def test_pods_outlast_the_draining_of_what_runs_in_them(
    groups: dict[str, Any], application: dict[str, Any]
) -> None:
    settings = ServerSettings.model_validate(application["args"]["settings"])
    for name, group in groups.items():
        if name != "head":
            grace_s = group["template"]["spec"]["terminationGracePeriodSeconds"]
            assert grace_s > settings.drain_timeout_s


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
class TestWithRay:
    """What Ray itself says of the file."""

    @pytest.fixture(autouse=True)
    def _ray(self) -> None:
        pytest.importorskip("ray", reason="needs Ray: the extra `ray`")

    def test_serve_takes_the_configuration(self, service: dict[str, Any]) -> None:
        from ray.serve.schema import ServeDeploySchema

        config = yaml.safe_load(service["spec"]["serveConfigV2"])
        ServeDeploySchema.model_validate(config)
        assert config["proxy_location"] == "Disabled"

    def test_import_path_builds_the_application_with_these_arguments(
        self, application: dict[str, Any]
    ) -> None:
        from ray._common.utils import import_attr

        built = import_attr(application["import_path"])(application["args"])
        deployment = built._bound_deployment
        assert [each["name"] for each in application["deployments"]] == [deployment.name]
        assert {"reconfigure", "check_health"} <= set(dir(deployment.func_or_class))

    def test_argument_that_is_none_is_refused_by_name(self, application: dict[str, Any]) -> None:
        from serve.ray_app import application as build

        with pytest.raises(ValueError, match="gatways"):
            build({**application["args"], "gatways": 2})
        settings = {**application["args"]["settings"], "http": {"port": 0}}
        with pytest.raises(ValueError, match=r"settings\.http\.port"):
            build({**application["args"], "settings": settings})

    def test_gateway_pods_have_the_resource_that_gateways_ask_for(
        self, groups: dict[str, Any]
    ) -> None:
        from serve.executors.ray.gateway_tier import NODES

        quoted = groups["gateways"]["rayStartParams"]["resources"]
        assert json.loads(quoted.strip("'").strip('"').replace('\\"', '"')) == {NODES: 1}
        others = [group for name, group in groups.items() if name != "gateways"]
        assert not any("resources" in group["rayStartParams"] for group in others)

    def test_engine_pods_are_ready_when_the_node_says_that_it_is_well(
        self, groups: dict[str, Any]
    ) -> None:
        from ray._private import ray_constants
        from ray.dashboard import http_server_agent

        for name in ("cpu", "gpu"):
            probe = container(groups[name])["readinessProbe"]["httpGet"]
            assert probe["port"] == ray_constants.DEFAULT_DASHBOARD_AGENT_LISTEN_PORT
            assert probe["path"] in Path(http_server_agent.__file__).read_text()

    @pytest.mark.parametrize("name", ["head", "gateways", "cpu", "gpu"])
    def test_ray_starts_with_the_parameters(self, groups: dict[str, Any], name: str) -> None:
        from ray.scripts.scripts import start

        flags = [f"--{key}" for key in groups[name]["rayStartParams"]]
        known = {flag for option in start.params for flag in option.opts}
        assert set(flags) <= known
