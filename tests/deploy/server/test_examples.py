"""The files that people copy are right: every option exists, every probe's route exists, the tools accept them."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from effnet.deploy.bundle import write_bundle
from tests.deploy.exported import tiny_bundle
from tests.deploy.server.running import ROOT

DEPLOY = ROOT / "examples" / "deploy"
RAY = ROOT / "examples" / "ray_serve.py"
ROUTES = {"/healthz", "/readyz"}


@pytest.fixture(scope="module")
def options() -> set[str]:
    done = subprocess.run(
        [sys.executable, "-m", "effnet.cli", "serve", "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    return set(re.findall(r"--[a-z][a-z-]+", done.stdout))


def commands() -> dict[str, list[str]]:
    """Return the words of every `effnet serve` in the examples and the documentation."""
    unit = (DEPLOY / "effnet.service").read_text()
    docker = (DEPLOY / "Dockerfile").read_text()
    replicas = yaml.safe_load((DEPLOY / "kubernetes.yaml").read_text().split("---")[0])
    return {
        "systemd": next(re.finditer(r"^ExecStart=(.*)$", unit, re.MULTILINE))[1].split(),
        "docker": json.loads(next(re.finditer(r"^CMD (\[.*\])$", docker, re.MULTILINE))[1]),
        "kubernetes": replicas["spec"]["template"]["spec"]["containers"][0]["command"],
    }


@pytest.mark.parametrize("name", ["systemd", "docker", "kubernetes"])
def test_every_option_exists(options: set[str], name: str) -> None:
    words = commands()[name]
    assert words[0].endswith("effnet")
    assert words[1] == "serve"
    assert {word for word in words if word.startswith("--")} <= options


def test_every_documented_option_exists_and_the_other_way_round(options: set[str]) -> None:
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    table = text.split("| option | default | meaning |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(--[a-z-]+)`", table)) == options - {"--help"}


def test_the_dockerfile_is_one() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    lines = re.sub(r"\\\n", " ", text).splitlines()
    words = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    assert words[0] == "FROM"
    assert set(words) <= {"FROM", "RUN", "COPY", "USER", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "CMD"}
    assert words.index("USER") < words.index("CMD")
    assert "EFFNET_TOKEN=" not in "".join(line for line in lines if not line.startswith("#"))


def locked() -> dict[str, str]:
    """Return the versions in the lock of the image, by name."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", (DEPLOY / "requirements.txt").read_text(), re.MULTILINE))


def test_the_docker_image_is_fixed_by_version_and_hash_within_the_ranges_of_the_project() -> None:
    text = (DEPLOY / "requirements.txt").read_text()
    entries = [
        entry for entry in re.split(r"\n(?=[a-z])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)) if entry.strip()
    ]
    assert len(entries) == len(locked()) > 20
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry)
    assert "--require-hashes -r /requirements.txt" in (DEPLOY / "Dockerfile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ranges = [*project["dependencies"], *project["optional-dependencies"]["serve"]]
    checked = 0
    for requirement in map(Requirement, ranges):
        if requirement.name in locked():
            checked += 1
            assert locked()[requirement.name] in requirement.specifier, requirement
    assert checked >= 6


def test_the_docker_image_has_what_the_server_imports() -> None:
    named = set(locked())
    probe = (
        "import sys, effnet.cli.serve, effnet.deploy.server.launch, effnet.deploy.server.bundles, "
        "effnet.deploy.server.decoder, onnxruntime, rich, typer; "
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(ast.literal_eval(done.stdout))
    packages = {
        "numpy",
        "PIL",
        "simplejpeg",
        "filelock",
        "starlette",
        "uvicorn",
        "httptools",
        "prometheus_client",
        "typer",
        "rich",
    }
    needed = {"PIL": "pillow", "prometheus_client": "prometheus-client"}
    assert {needed.get(name, name) for name in loaded & packages} | {"onnxruntime", "python-multipart"} <= named
    assert not loaded & {"torch", "safetensors", "huggingface_hub", "pydantic"}


def test_the_unit_is_accepted_and_hardened(tmp_path: Path) -> None:
    text = (DEPLOY / "effnet.service").read_text()
    for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "DynamicUser=yes", "PrivateDevices=yes"):
        assert line in text
    assert re.search(r"^MemoryMax=\d+G$", text, re.MULTILINE)
    assert "kill -HUP $MAINPID" in text
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("no systemd here")
    unit = tmp_path / "effnet.service"
    unit.write_text(text.replace("/opt/effnet/bin/effnet", "/bin/true"))
    done = subprocess.run([tool, "verify", str(unit)], capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if "effnet.service" in line]
    assert complaints == []


def test_the_probes_ask_for_routes_that_exist() -> None:
    container = next(iter(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())))["spec"]["template"]["spec"][
        "containers"
    ][0]
    probes = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert set(probes.values()) == ROUTES
    assert probes["readinessProbe"] == "/readyz"
    assert "/healthz" in (DEPLOY / "Dockerfile").read_text()


def test_ray_serve_is_ten_lines_of_code() -> None:
    tree = ast.parse(RAY.read_text())
    lines = {node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt)}
    assert len(lines) - 1 <= 12  # without the docstring


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
def test_ray_serve_answers(tmp_path: Path) -> None:
    bundle = write_bundle(tiny_bundle(), tmp_path / "tiny.onnx")
    done = subprocess.run(
        [sys.executable, "-m", "tests.deploy.server.ray_check", str(bundle)],
        cwd=ROOT,
        capture_output=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
