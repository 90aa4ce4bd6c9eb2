"""deploy/kubernetes: what the manifests say is what Kubernetes takes, and what our programs have."""

import asyncio
import json
import re
import shutil
import subprocess
import tomllib
import urllib.error
import urllib.request
from itertools import chain
from pathlib import Path
from typing import Any

import grpc
import onnxruntime
import promql_parser
import pytest
from typer.testing import CliRunner

from cloud_server.cli.main import app
from cloud_server.cli.settings import ServeSettings
from cloud_server.rest.web import serve_web
from cloud_server.server import CloudServer
from edge_client.cli.settings import PROGRAM as EDGE
from partitioner.bundle.bundle import Bundle
from scripts.write_prometheus_rule import RESOURCE, RULES, resource
from tests.kit.cloud_calls import TIMEOUT_S, crossing
from tests.kit.kustomizations import Document, build, documents, find
from tests.kit.resource_schemas import VERSIONS, extensions, faults
from tests.kit.rest_calls import document_of, infer_path
from tests.kit.settings import serve_settings

ROOT = Path(__file__).parent.parent
KUBERNETES = ROOT / "deploy" / "kubernetes"
PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
COMPONENTS = sorted(path.name for path in (KUBERNETES / "components").iterdir())
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
TOGETHER = [one for one in COMPONENTS if one not in ("in-the-clear", "bundles-from-claim")]
"""Components that go together: all but one of each two that exclude each other."""
KUSTOMIZATIONS = [
    "base",
    "kserve",
    *(f"overlays/{one}" for one in OVERLAYS),
    "together",
    *COMPONENTS,
]
NO_SCHEMA = {"GRPCRoute", "BackendTLSPolicy"}
"""Of the Gateway API, for which no package with schemas is to be had."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the manifests, with an overlay for each component alone, and one for all that go together."""
    copy = shutil.copytree(KUBERNETES, tmp_path_factory.mktemp("deploy") / "kubernetes")
    for name, components in {"together": TOGETHER, **{one: [one] for one in COMPONENTS}}.items():
        (copy / name).mkdir()
        (copy / name / "kustomization.yaml").write_text(
            json.dumps({
                "kind": "Kustomization",
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "resources": ["../base"],
                "components": [f"../components/{one}" for one in components],
                "images": [{"name": "splitpoint-bundles", "newName": "registry.example/b", "newTag": "7"}],
            })
        )  # fmt: skip
    return copy


@pytest.fixture(params=KUSTOMIZATIONS)
def resources(tree: Path, request: pytest.FixtureRequest) -> list[Document]:
    """The resources of one kustomization after the other."""
    return build(tree / request.param)


@pytest.fixture
def own(resources: list[Document], monkeypatch: pytest.MonkeyPatch) -> "Own":
    """Our server's pod as one of them runs it; its variables are set."""
    pod = Own(resources)
    for name, value in pod.variables.items():
        monkeypatch.setenv(name, value)
    return pod


class Own:
    """The pod of our server among resources."""

    def __init__(self, resources: list[Document]) -> None:
        self.resources = resources
        self.labels: dict[str, str] = {}
        try:
            template = find(resources, "Deployment", "splitpoint-cloud")["spec"]["template"]
            self.labels, self.spec = template["metadata"]["labels"], template["spec"]
        except ValueError:
            service = find(resources, "InferenceService", "digits-splitpoint")
            self.spec = service["spec"]["predictor"]
        (self.container,) = self.spec["containers"]

    @property
    def variables(self) -> dict[str, str]:
        """The variables of its container, with limits as the cluster fills them in."""
        found: dict[str, str] = {}
        for source in self.container.get("envFrom", []):
            found |= find(self.resources, "ConfigMap", source["configMapRef"]["name"])["data"]
        for one in self.container["env"]:
            if "valueFrom" in one:
                field = one["valueFrom"]["resourceFieldRef"]
                assert field["containerName"] == self.container["name"]
                _, _, limit = field["resource"].partition(".")
                one = {**one, "value": self.container["resources"]["limits"][limit]}
            found[one["name"]] = one["value"]
        return found

    @property
    def settings(self) -> ServeSettings:
        """What its command makes of flags and variables."""
        flags = dict(
            one.removeprefix("--").partition("=")[::2] for one in self.container["args"][1:]
        )
        return serve_settings(
            **{name.replace("-", "_"): value or True for name, value in flags.items()}
        )

    @property
    def probes(self) -> dict[str, Document]:
        """Its probes by kind."""
        return {name: probe for name, probe in self.container.items() if name.endswith("Probe")}


@pytest.mark.parametrize("version", VERSIONS)
def test_all_resources_are_what_kubernetes_takes(tree: Path, version: str) -> None:
    found = [
        (name, one["kind"], fault)
        for name in KUSTOMIZATIONS
        if version >= "1.31" or ("volume" not in name and name != "together")  # see the component
        for one in build(tree / name)
        if one["kind"] not in {*extensions(), *NO_SCHEMA}
        for fault in faults(one, version)
    ]
    assert found == []


def test_all_resources_of_extensions_are_what_these_take(resources: list[Document]) -> None:
    found = [one for one in resources if one["kind"] in extensions()]
    assert [(one["kind"], fault) for one in found for fault in faults(one)] == []


@pytest.mark.parametrize(
    ("kustomization", "kind", "path"),
    [
        ("base", "Deployment", ("spec", "template", "spec")),
        ("monitoring", "ServiceMonitor", ("spec",)),
        ("kserve", "InferenceService", ("spec", "predictor")),
        ("kserve", "InferenceGraph", ("spec", "nodes", "root")),
    ],
)
def test_schema_refuses_a_field_that_there_is_none_of(
    tree: Path, kustomization: str, kind: str, path: tuple[str, ...]
) -> None:
    resource = next(one for one in build(tree / kustomization) if one["kind"] == kind)
    at = resource
    for key in path:
        at = at[key]
    at["nonsuch"] = 1
    assert any("nonsuch" in fault for fault in faults(resource))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("name", [*KUSTOMIZATIONS[:6], "together", "bundles-from-claim"])
def test_kustomizations_are_read_as_kubectl_reads_them(tree: Path, name: str) -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", tree / name], capture_output=True, text=True, check=True
    )
    theirs = tree / f"{name.replace('/', '-')}.yaml"
    made = r"(name: splitpoint-(?:settings|rollouts))-[0-9a-z]{10}\n"
    theirs.write_text(re.sub(made, r"\1\n", done.stdout))
    assert in_order(documents(theirs)) == in_order(build(tree / name))


def in_order(found: Any) -> Any:
    """Return documents with their lists in an order of ours: what is merged comes in any."""
    if isinstance(found, dict):
        return {key: in_order(value) for key, value in found.items() if value != []}
    if isinstance(found, list):
        return sorted(map(in_order, found), key=lambda one: json.dumps(one, sort_keys=True))
    return found


def test_settings_are_those_of_the_program(own: Own) -> None:
    """Else reading them fails, with the name of what there is none of."""
    settings = own.settings
    assert own.container["command"] == ["splitpoint-cloud"]
    assert own.container["args"][0] == "serve"
    commands = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert own.container["command"][0] in commands
    assert str(settings.server.workers) == own.container["resources"]["limits"]["cpu"]
    assert settings.server.exposure.check(settings.server.listen, "listen") is None
    edges = [name for name in own.variables if name.startswith("SPLITPOINT_EDGE_")]
    assert set(edges) <= {EDGE.variable(key) for key in EDGE.keys}


def test_files_of_the_settings_lie_where_something_is_mounted(own: Own) -> None:
    mounts = {one["mountPath"]: one.get("readOnly", False) for one in own.container["volumeMounts"]}
    named = [*own.variables.values(), *(one.partition("=")[2] for one in own.container["args"])]
    for path in (Path(one) for one in named if one.startswith("/") and one != "/mnt/models"):
        assert {str(parent) for parent in (path, *path.parents)} & mounts.keys(), path
    volumes = {one["name"]: one for one in own.spec["volumes"]}
    assert {one["name"] for one in own.container["volumeMounts"]} == volumes.keys() - {"tls"} | (
        {"tls"} & volumes.keys()
    )
    rollouts = own.settings.server.rollouts
    assert rollouts is not None
    is_given = "configMap" in volumes.get(rollouts.parent.name, {})
    assert mounts[str(rollouts.parent)] is is_given, "a server keeps roll-outs where it may write"
    assert not mounts["/tmp"]


def test_ports_are_those_that_the_server_listens_at(own: Own) -> None:
    settings = own.settings
    ports = {one["name"]: one["containerPort"] for one in own.container["ports"]}
    listens = {"grpc": settings.server.listen, "http": settings.http or ""}
    assert {name: f"0.0.0.0:{port}" for name, port in ports.items()} == listens
    for service in (one for one in own.resources if one["kind"] == "Service"):
        assert all(ports[one["targetPort"]] == one["port"] for one in service["spec"]["ports"])
    for policy in (one for one in own.resources if one["kind"] == "NetworkPolicy"):
        assert {one["port"] for way in policy["spec"]["ingress"] for one in way["ports"]} == {
            *ports
        }


def test_selectors_find_our_pods(own: Own) -> None:
    for one in own.resources:
        spec = one.get("spec", {})
        selector = spec.get("selector", spec.get("podSelector", {}))
        selected = selector.get("matchLabels", selector)
        assert selected.items() <= own.labels.items(), one["kind"]


def test_time_to_end_is_that_of_the_drain(own: Own) -> None:
    """And no probe for life ends a server that drains."""
    options = own.settings.server
    ends_s = options.drain_notice_s + options.drain_s
    assert options.drain_notice_s > 0
    assert ends_s + 5 <= own.spec["terminationGracePeriodSeconds"]
    life = own.probes["livenessProbe"]
    assert life["periodSeconds"] * life["failureThreshold"] > ends_s


def test_memory_of_tails_and_queue_leaves_room_for_the_program(own: Own) -> None:
    options, limit = own.settings.server, own.container["resources"]["limits"]["memory"]
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", limit).groups()  # type: ignore[union-attr]
    limit_bytes = int(number) << {"Mi": 20, "Gi": 30}[unit]
    assert options.memory_bytes is not None
    assert options.memory_bytes + options.queue_memory_bytes + (512 << 20) <= limit_bytes


def test_execution_provider_is_one_of_the_runtime(own: Own) -> None:
    assert own.settings.server.provider in onnxruntime.get_all_providers()


def test_pods_are_locked(own: Own) -> None:
    assert own.spec["automountServiceAccountToken"] is False
    assert own.spec["securityContext"]["runAsNonRoot"]
    for container in (*own.spec["containers"], *own.spec.get("initContainers", [])):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert (
            container["resources"]["limits"]["memory"]
            == container["resources"]["requests"]["memory"]
        )


async def test_probes_and_scalers_find_what_they_ask_a_server_for(
    residual_bundle: Bundle, tree: Path
) -> None:
    """Pages and commands of a server that runs, and metrics of its page."""
    probes = [probe for name in KUSTOMIZATIONS for probe in Own(build(tree / name)).probes.values()]
    (monitor,) = (one for one in build(tree / "monitoring") if one["kind"] == "ServiceMonitor")
    pages = {one["httpGet"]["path"] for one in probes if "httpGet" in one}
    (metrics,) = {one["path"] for one in monitor["spec"]["endpoints"]}
    commands = {tuple(one["exec"]["command"]) for one in probes if "exec" in one}
    assert (pages, len(commands)) == ({"/livez", "/readyz"}, 2)
    body = json.dumps(document_of(residual_bundle, "cloud", crossing(residual_bundle, "cloud")))
    async with CloudServer(residual_bundle.path) as server, serve_web(server, "127.0.0.1:0") as at:

        def ask() -> str:
            for page in pages:
                assert text_of(f"http://{at}{page}") is not None
            for command in commands:
                words = [server.address if ":" in word else word for word in command[1:]]
                assert CliRunner().invoke(app, words).exit_code == 0
            text_of(f"http://{at}{infer_path(residual_bundle)}", body.encode())
            with pytest.raises(urllib.error.HTTPError):
                text_of(f"http://{at}/v2/models/residual.nonsuch/infer", body.encode())
            return text_of(f"http://{at}{metrics}")

        shown = await asyncio.to_thread(ask)
    selectors = [one for rule in adapter_rules() for one in selectors_of(query_of(rule))]
    assert len(selectors) == 5
    for name, labels in selectors:
        lines = [
            line for line in shown.splitlines() if line.startswith(f"{name}{{" if labels else name)
        ]
        assert lines, name
        assert all(f'{label}="' in line for line in lines for label in labels)


def text_of(url: str, body: bytes | None = None) -> str:
    with urllib.request.urlopen(url, body, TIMEOUT_S) as answer:
        return str(answer.read().decode())


def adapter_rules() -> list[Document]:
    (values,) = documents(KUBERNETES / "prometheus-adapter.yaml")
    return list(values["rules"]["custom"])


def query_of(rule: Document) -> str:
    """Return the query that the adapter asks for two pods."""
    query = str(rule["metricsQuery"]).replace("<<.GroupBy>>", "pod")
    return query.replace("<<.LabelMatchers>>", 'namespace="n",pod=~"a|b"')


def selectors_of(query: str) -> list[tuple[str, set[str]]]:
    """Return the names of a query's metrics, each with those of its labels that are not the cluster's."""
    promql_parser.parse(query)
    return [
        (name, set(re.findall(r"(\w+)=", matchers)) - {"namespace", "pod"})
        for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", query)
    ]


def test_what_the_autoscaler_reads_is_what_the_adapter_tells(tree: Path) -> None:
    (scaler,) = (one for one in build(tree / "autoscaling") if one["kind"].endswith("Autoscaler"))
    read = {one["pods"]["metric"]["name"] for one in scaler["spec"]["metrics"]}
    assert read == {rule["name"]["as"] for rule in adapter_rules()}
    codes = {
        code for rule in adapter_rules() for code in re.findall(r'code="(\w+)"', query_of(rule))
    }
    assert codes <= {code.name for code in grpc.StatusCode}
    waits_s = (
        float(scaler["spec"]["metrics"][0]["pods"]["target"]["averageValue"].rstrip("m")) / 1e3
    )
    assert waits_s < 0.25, "from --queue-wait on requests are refused, and the mean grows no more"


def test_alerts_are_those_of_the_file_of_rules() -> None:
    assert RESOURCE.read_text() == resource(RULES.read_text()), (
        "run python -m scripts.write_prometheus_rule"
    )
    (rules,) = documents(RULES)
    (made,) = documents(RESOURCE)
    assert made["spec"] == rules


def test_overlay_of_the_page_is_one(tree: Path) -> None:
    """Its settings are read, too."""
    (text,) = re.findall(
        r"```yaml\n# deploy/kubernetes/(overlays/ours)/.*?\n(.*?)```", PAGE, re.DOTALL
    )
    folder = tree / text[0]
    folder.mkdir()
    (folder / "kustomization.yaml").write_text(text[1])
    built = build(folder)
    assert [fault for one in built for fault in faults(one)] == []
    pod = Own(built)
    assert pod.container["image"] == "registry.example/splitpoint-cloud:0.1.0"
    assert pod.variables["SPLITPOINT_CLOUD_PRELOAD"] == "digits"


def test_page_names_all_that_is_there_to_apply_and_to_bring(tree: Path) -> None:
    brought = set()
    for one in chain.from_iterable(build(tree / name) for name in KUSTOMIZATIONS):
        text = json.dumps(one)
        brought |= set(re.findall(r'"(?:secretName|claimName)": "([\w-]+)"', text))
        brought |= set(re.findall(r'"configMap": {"name": "([\w-]+)"', text))
    named = {
        f"`{one}`" for one in (*COMPONENTS, *(f"overlays/{one}" for one in OVERLAYS), *brought)
    }
    assert {one for one in named if one not in PAGE} == set()
