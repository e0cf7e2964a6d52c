"""The manifests are valid for Kubernetes' own schemas, and true of this server."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from running import RunningServer
from steno.engine.worker.worker_supervisor import STOP_S
from steno.server.run.asgi_server import CLOSE_S
from steno.server.run.front_supervisor import END_S
from steno.settings import Settings

ROOT = Path(__file__).parent.parent.parent
KUBERNETES = ROOT / "deploy" / "kubernetes"
BASE, GPU = KUBERNETES / "base", KUBERNETES / "overlays" / "gpu"
VERSIONS = ("1.30", "1.34")
"""The oldest that the files need, and a newer one."""
FOLDERS = pytest.mark.parametrize("folder", [BASE, GPU], ids=["base", "gpu"])
PROGRAMS = (("kubectl", "kustomize"), ("kustomize", "build"))
KUSTOMIZE = next((words for words in PROGRAMS if shutil.which(words[0])), None)
KINDS = {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
Manifest = dict[str, Any]


def load(file: Path) -> Manifest:
    manifest: Manifest = yaml.safe_load(file.read_text(encoding="utf-8"))
    return manifest


def rendered(folder: Path) -> dict[str, Manifest]:
    """The manifests of a kustomization by kind: its resources, with its patches merged into them."""
    kustomization = load(folder / "kustomization.yaml")
    assert set(kustomization) <= {"apiVersion", "kind", "resources", "patches"}, "this test renders no more than these"
    manifests: dict[str, Manifest] = {}
    for name in kustomization["resources"]:
        path = folder / name
        manifests |= rendered(path) if path.is_dir() else {load(path)["kind"]: load(path)}
    for patch in kustomization.get("patches", []):
        change = load(folder / patch["path"])
        target = manifests[change["kind"]]
        assert change["metadata"]["name"] == target["metadata"]["name"]
        manifests[change["kind"]] = merged(target, change)
    return manifests


def merged(old: Any, new: Any) -> Any:
    """A strategic merge: lists whose entries have names are merged by these, others are replaced."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return {**old, **{key: merged(old.get(key), value) for key, value in new.items()}}
    if isinstance(old, list) and isinstance(new, list) and all("name" in entry for entry in (*old, *new)):
        entries = {entry["name"]: entry for entry in old}
        for entry in new:
            entries[entry["name"]] = merged(entries.get(entry["name"]), entry)
        return [*entries.values()]
    return new


def container(folder: Path) -> Manifest:
    (only,) = rendered(folder)["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(only)


def environment(folder: Path) -> dict[str, str]:
    return {each["name"]: each.get("value", "from-a-secret") for each in container(folder)["env"]}


@pytest.fixture(scope="module")
def drain_s() -> float:
    """DRAIN_TIMEOUT of the pods, which both folders share."""
    (seconds,) = {float(environment(folder)["DRAIN_TIMEOUT"]) for folder in (BASE, GPU)}
    return seconds


@FOLDERS
@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid_and_has_no_unknown_field(folder: Path, version: str) -> None:
    manifests = rendered(folder)
    assert set(manifests) == KINDS
    for manifest in manifests.values():
        assert kubernetes_validate.validate(manifest, version, strict=True) == version


@pytest.mark.parametrize(
    ("path", "wrong"),
    [(("spec", "replicaz"), 1), (("spec", "template", "spec", "containers"), "steno"), (("spec", "paused"), "no")],
)
def test_the_schema_finds_mistakes(path: tuple[str, ...], wrong: object) -> None:
    manifest = rendered(BASE)["Deployment"]
    inner = manifest
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = wrong
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, VERSIONS[0], strict=True)


def test_every_file_is_part_of_a_kustomization() -> None:
    for folder in (BASE, GPU):
        kustomization = load(folder / "kustomization.yaml")
        named = [*kustomization["resources"], *(patch["path"] for patch in kustomization.get("patches", []))]
        files = {file.name for file in folder.glob("*.yaml")} - {"kustomization.yaml"}
        assert {name for name in named if name.endswith(".yaml")} == files


if KUSTOMIZE is not None:  # where it is missing there is no such test: the schemas and `rendered` stand in for it

    @FOLDERS
    def test_kustomize_renders_the_same(folder: Path) -> None:
        ended = subprocess.run([*(KUSTOMIZE or ()), str(folder)], capture_output=True, text=True, timeout=90)
        assert ended.returncode == 0, ended.stderr
        assert unordered(list(yaml.safe_load_all(ended.stdout))) == unordered(list(rendered(folder).values()))


def unordered(value: Any) -> Any:
    """Without the order of lists: kustomize puts the entries of a patch first."""
    if isinstance(value, Mapping):
        return {key: unordered(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted((unordered(inner) for inner in value), key=repr)
    return value


@FOLDERS
def test_the_variables_are_settings_and_their_values_are_valid(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = environment(folder)
    assert set(variables) <= {name.upper() for name in Settings.model_fields}
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.api_keys, "a server that is open to the network has keys"
    assert settings.port == container(folder)["ports"][0]["containerPort"]


def test_probes_and_metrics_are_those_of_the_server() -> None:
    probes = {kind: container(BASE)[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
    template = rendered(BASE)["Deployment"]["spec"]["template"]
    annotations = template["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(container(BASE)["ports"][0]["containerPort"])
    with RunningServer(ASR_BACKEND="scripted", PRELOAD="true", API_KEYS="k") as server:
        for probe in probes.values():
            assert probe["port"] == container(BASE)["ports"][0]["name"]
            assert server.get(probe["path"]).status_code in (200, 503), probe["path"]
        text = server.get(annotations["prometheus.io/path"]).raise_for_status().text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    for folder in (BASE, GPU):
        (metric,) = rendered(folder)["HorizontalPodAutoscaler"]["spec"]["metrics"]
        name = metric["pods"]["metric"]["name"]
        values = {sample.labels["dialect"]: sample.value for sample in samples if sample.name == name}
        assert values == {"native": 0, "openai": 0, "deepgram": 0, "flux": 0}, "also before the first session"
        comment = (BASE / "hpa.yaml").read_text(encoding="utf-8")
        assert re.search(rf"seriesQuery: {name}\{{", comment)


@FOLDERS
def test_selectors_and_targets_meet(folder: Path) -> None:
    manifests = rendered(folder)
    deployment, labels = manifests["Deployment"], manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        manifests["Service"]["spec"]["selector"],
        manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    target = manifests["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"]
    assert manifests["Service"]["spec"]["ports"][0]["targetPort"] == container(folder)["ports"][0]["name"]


@FOLDERS
def test_a_pod_has_the_time_to_drain(folder: Path, drain_s: float) -> None:
    pod = rendered(folder)["Deployment"]["spec"]["template"]["spec"]
    pre_stop_s = container(folder)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > pre_stop_s + drain_s + END_S + CLOSE_S + STOP_S


@FOLDERS
def test_a_pod_has_no_privileges_and_what_it_writes_to_is_a_volume(folder: Path) -> None:
    pod = rendered(folder)["Deployment"]["spec"]["template"]["spec"]
    user = re.search(r"useradd .*--uid (\d+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert user is not None
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == int(user[1])
    assert pod["automountServiceAccountToken"] is False
    assert container(folder)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounted = {mount["mountPath"]: mount["name"] for mount in container(folder)["volumeMounts"]}
    assert set(mounted) == {"/tmp", "/models"}
    assert set(mounted.values()) == {volume["name"] for volume in pod["volumes"]}


def test_the_gpu_overlay_asks_for_a_gpu_and_the_base_does_not() -> None:
    assert container(GPU)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in container(BASE)["resources"]["limits"]
    assert environment(GPU)["DEVICE"] == "cuda"
