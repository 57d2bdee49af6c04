"""Generated parts of the Helm chart: the inventories it brings along, and the values table of its README."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml

from gigawatch.artifacts import BuildOptions
from gigawatch.errors import FileError

CHART = "helm/gigawatch"
_BEGIN = "<!-- values: generated from values.yaml -->"
_END = "<!-- end of values -->"
_MARK = "# -- "


@dataclass(frozen=True, slots=True)
class Value:
    """One documented key of values.yaml."""

    key: str
    """Dotted path."""
    default: str
    """Default as JSON; empty for a key that only groups others."""
    text: str


def artifacts(_options: BuildOptions) -> dict[str, str]:
    """Chart files by path. The README is left out where there is no checkout around the package."""
    files = {
        f"{CHART}/files/blueprints/{entry.name}": entry.read_text(encoding="utf-8")
        for entry in resources.files("gigawatch.topology.blueprints").iterdir()
        if entry.name.endswith(".yaml")
    }
    chart = Path(__file__).resolve().parent.parent / CHART
    if (chart / "values.yaml").exists():
        files[f"{CHART}/README.md"] = with_table(chart / "README.md", documented(chart / "values.yaml"))
    return files


def documented(path: Path) -> list[Value]:
    """Every key of a values file that has a comment `# -- text` above it, in the order of the file.

    Raises FileError for a leaf that neither has such a comment nor stands below a key that has one.
    """
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise FileError(path, "", "holds no values")
    return list(_walk(path, root, "", lines))


def _walk(path: Path, node: yaml.MappingNode, prefix: str, lines: list[str]) -> Iterator[Value]:
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        above = lines[key.start_mark.line - 1].strip() if key.start_mark.line else ""
        comment = above.removeprefix(_MARK) if above.startswith(_MARK) else ""
        groups = isinstance(value, yaml.MappingNode) and not value.flow_style
        if groups and _explained(value, lines):
            if comment:
                yield Value(name, "", comment)
            yield from _walk(path, value, f"{name}.", lines)
        elif comment:
            yield Value(name, json.dumps(_plain(value)), comment)
        else:
            raise FileError(
                path, name, "is not explained", f"write '{_MARK}...' above it", key.start_mark.line + 1
            )


def _explained(node: yaml.MappingNode, lines: list[str]) -> bool:
    """Whether the keys below are explained one by one, rather than as a whole above."""
    first = node.value[0][0].start_mark.line
    return first > 0 and (
        lines[first - 1].strip().startswith(_MARK)
        or any(
            isinstance(v, yaml.MappingNode) and not v.flow_style and _explained(v, lines)
            for _, v in node.value
        )
    )


def _plain(node: yaml.Node) -> object:
    value: object = yaml.safe_load(yaml.serialize(node))
    return value


def with_table(readme: Path, values: list[Value]) -> str:
    """The README with a fresh table between its two markers; FileError if it has none."""
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise FileError(
            readme, "", f"has no '{_BEGIN}' ... '{_END}'", "put both lines where the table belongs"
        )
    table = "\n".join(["| Key | Default | Meaning |", "|---|---|---|", *map(_row, values)])
    return f"{before}{begin}\n{table}\n{end}{after}"


def _row(value: Value) -> str:
    default = f"`{value.default}`" if value.default else ""
    return f"| `{value.key}` | {default} | {value.text} |".replace("||", "\\|\\|")
