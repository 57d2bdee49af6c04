"""docs/node-agent.md names every setting of the agent, with the default that it has."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from helm_tools import ROOT

from exporters.sections import AgentPlan
from exporters.settings import AgentSettings

TEXT = (ROOT / "docs" / "node-agent.md").read_text()
ROW = re.compile(r"^\| `([a-z_.]+)` \| (.+?) \| (.+) \|$", re.MULTILINE)
INSTEAD = {"slurm.node": "the host's name", "state_directory": "systemd's `StateDirectory`, else none"}
"""Settings whose default is found out when the agent starts."""


def _settings() -> Iterator[tuple[str, object]]:
    settings = AgentSettings()
    for field in dataclasses.fields(AgentPlan):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from ((f"{field.name}.{f.name}", getattr(value, f.name)) for f in dataclasses.fields(value))
        else:
            yield field.name, value


def _shown(name: str, value: object) -> str:
    if name in INSTEAD:
        assert not value
        return INSTEAD[name]
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_every_setting_is_told_with_its_default() -> None:
    told = {name: default for name, default, _ in ROW.findall(TEXT)}
    assert told == {name: _shown(name, value) for name, value in _settings()}


def test_links_and_drop_ins_exist() -> None:
    for page in (ROOT / "docs" / "node-agent.md", ROOT / "deploy" / "systemd" / "README.md"):
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
    folder: Path = ROOT / "deploy" / "systemd" / "gigawatch-agent.service.d"
    named = {
        f"{name}.example"
        for name in re.findall(r"`([a-z-]+\.conf)`", (folder.parent / "README.md").read_text())
    }
    assert named == {file.name for file in folder.iterdir()}


def test_the_table_of_rights_names_values_of_the_chart() -> None:
    values = (ROOT / "helm" / "gigawatch" / "values.yaml").read_text()
    for name in re.findall(r"`agent\.(?:features\.)?(\w+)`", TEXT):
        assert re.search(rf"^ +{name}:", values, re.MULTILINE), name
