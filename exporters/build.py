"""Reference page of the inference engines, made from their dialects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module

from exporters.inference import dialects
from exporters.inference.dialect import Dialect, Figure, Granularity, Sample, Value
from gigawatch.artifacts import BuildOptions
from gigawatch.catalogue import inference

_COUNTED = {
    Granularity.STEP: "at each step",
    Granularity.LOG: "every few seconds, when statistics are logged",
    Granularity.REQUEST: "when a request ends",
}


def artifacts(_: BuildOptions) -> dict[str, str]:
    """The page under docs/reference/ that this room knows."""
    return {"docs/reference/engines.md": _page()}


def _page() -> str:
    chapters = [(module, dialect) for module in map(_module, dialects.MODULES) for dialect in _of(module)]
    lines = [
        "# Inference engines",
        "",
        "Made by `gigawatch build` from `exporters/inference/dialects/`; do not edit by hand.",
        "",
        "What `gigawatch workload` knows of each engine. *Version* is the one whose names are known: what a",
        f"newer one adds counts in `{inference.INFERENCE_UNMAPPED.name}`, what it has no longer in",
        f"`{inference.INFERENCE_MISSING.name}`. Where tokens are counted when a request ends, a rate",
        "over less than the longest request reads nothing, then a spike. *Frozen after* says for how long",
        "requests may be there without progress. Another engine: [adding an engine](../adding-an-engine.md).",
        "",
        "| Engine | `engine` | Version | Where | Tokens are counted | Frozen after | Health |",
        "|---|---|---|---|---|---|---|",
        *(_row(dialect) for _, dialect in chapters),
    ]
    for module, dialect in chapters:
        lines += ["", f"## {dialect.title}", "", *_chapter(dialect, module.__doc__ or "")]
    return "\n".join(lines) + "\n"


def _module(name: str) -> object:
    return import_module(f"{dialects.__name__}.{name}")


def _of(module: object) -> tuple[Dialect, ...]:
    found: tuple[Dialect, ...] = getattr(module, "DIALECTS", ())
    return found or (getattr(module, "DIALECT"),)  # noqa: B009 # a module's attribute, unknown to mypy


def _row(dialect: Dialect) -> str:
    patience = f"{dialect.patience:g} s" if dialect.patience else "cannot be told"
    return (
        f"| [{dialect.title}](#{_anchor(dialect.title)}) | `{dialect.engine}` | {dialect.version} "
        f"| `:{dialect.port}{dialect.path}` | {_COUNTED[dialect.granularity]} | {patience} "
        f"| {_health(dialect)} |"
    )


def _health(dialect: Dialect) -> str:
    route = dialect.health
    if route is None:
        return "none"
    where = f"`:{route.port or dialect.port}{route.path}`"
    return f"{where} every {route.every:g} s, {route.deadline:g} s to answer"


def _chapter(dialect: Dialect, doc: str) -> Iterator[str]:
    _, _, traps = doc.partition("\n\n")
    if traps.strip():
        yield from (*traps.strip().replace("Traps that this table knows:", "**Traps:**").splitlines(), "")
    if dialect.needs:
        yield f"It must be {dialect.needs}."
        yield ""
    yield f"Names: {dialect.origin}."
    if dialect.patience:
        names = dict.fromkeys(f"`{sample.name}`" for sample in dialect.progress)
        yield f"Progress: {', '.join(names)}."
    if dialect.stands_before:
        yield "Where engines behind it are read as well, tokens and requests are counted by them alone."
    if dialect.passes_on:
        yield f"May speak as {', '.join(f'`{name}`' for name in dialect.passes_on)}; what it says decides."
    yield from ("", "| Series | From, the first that is there |", "|---|---|", *_figures(dialect))
    ignored = list(_ignored(dialect))
    if ignored:
        yield from ("", f"Known and left alone: {', '.join(f'`{name}`' for name in ignored)}.")


def _figures(dialect: Dialect) -> Iterator[str]:
    """A row per canonical series, with all that it may come from."""
    rows: dict[str, dict[str, None]] = {}
    for entry in dialect.figures:
        for figure in (entry,) if isinstance(entry, Figure) else (one for way in entry.sets for one in way):
            labels = ", ".join(f"{name}={value}" for name, value in figure.labels.items())
            series = f"`{figure.to.name}{{{labels}}}`" if labels else f"`{figure.to.name}`"
            rows.setdefault(series, {})[_text(figure.sample)] = None
    for series, sources in rows.items():
        yield f"| {series} | {'; '.join(sources)} |"


def _text(sample: Sample) -> str:
    kept = [*_matchers(sample.where, "="), *_matchers(sample.but, "!=")]
    text = f"`{sample.name}{{{', '.join(kept)}}}`" if kept else f"`{sample.name}`"
    if sample.minus is not None:
        text += f" − {_text(sample.minus)}"
    return text if sample.scale == 1.0 else f"{text} × {sample.scale:g}"


def _matchers(labels: Mapping[str, Value], sign: str) -> Iterator[str]:
    for name, value in labels.items():
        for each in (value,) if isinstance(value, str) else value:
            yield f'{name}{sign}"{each}"'


def _ignored(dialect: Dialect) -> Iterable[str]:
    """Each once, also where an engine has had several beginnings for the same names."""
    seen: dict[str, str] = {}
    for name in dialect.ignored:
        start = next((start for start in dialect.recognised_by if name.startswith(start)), "")
        seen.setdefault(name.removeprefix(start) if start else name, name)
    return seen.values()


def _anchor(title: str) -> str:
    """What GitHub makes of a heading."""
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")
