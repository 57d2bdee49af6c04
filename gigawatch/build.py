"""`gigawatch build`: regenerate every generated file, or check that none has drifted."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from importlib.metadata import entry_points
from pathlib import Path

from gigawatch.artifacts import BuildOptions
from gigawatch.command import Command
from gigawatch.errors import UserError

GROUP = "gigawatch.artifacts"


def collect(options: BuildOptions, rooms: tuple[str, ...] = ()) -> dict[str, str]:
    """All generated files, path -> text, of all rooms or of those named."""
    files: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        if rooms and point.name not in rooms:
            continue
        try:
            made = point.load()(options)
        except ModuleNotFoundError as error:
            raise UserError(
                f"generating '{point.name}' needs the Python module '{error.name}'; install it with: "
                "pip install 'gigawatch[all]'"
            ) from error
        twice = sorted(files.keys() & made.keys())
        if twice:
            raise UserError(f"'{point.name}' generates {twice[0]}, which another room generates too")
        files.update(made)
    return files


def write(files: dict[str, str], root: Path) -> list[str]:
    """Write what changed below `root`; return the paths written."""
    changed = []
    for name, text in sorted(files.items()):
        path = root / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".new")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
        changed.append(name)
    return changed


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a file differs or is left over"
    )
    parser.add_argument(
        "--root", type=Path, default=Path(), help="checkout to write into (default: this directory)"
    )


def _run(args: Namespace) -> int:
    if not (args.root / "pyproject.toml").exists():
        raise UserError(f"{args.root.resolve()} is no checkout of gigawatch; name one with --root")
    files = collect(BuildOptions())
    stale = _left_over(files, args.root)
    if args.check:
        drift = [
            n
            for n, text in files.items()
            if not (args.root / n).exists() or (args.root / n).read_text() != text
        ]
        for name in sorted(drift):
            print(f"differs: {name}")
        for name in stale:
            print(f"left over: {name}")
        if drift or stale:
            raise UserError(
                f"{len(drift) + len(stale)} generated files are not up to date; run: gigawatch build"
            )
        print(f"{len(files)} generated files are up to date")
        return 0
    for name in write(files, args.root):
        print(f"wrote {name}", file=sys.stderr)
    for name in stale:
        (args.root / name).unlink()
        print(f"removed {name}", file=sys.stderr)
    print(f"{len(files)} generated files are up to date")
    return 0


def _left_over(files: dict[str, str], root: Path) -> list[str]:
    """Files in a generated/ folder that nothing generates any more."""
    folders = {
        str(Path(*Path(n).parts[: Path(n).parts.index("generated") + 1]))
        for n in files
        if "generated" in Path(n).parts
    }
    found = [
        str(p.relative_to(root)) for folder in folders for p in (root / folder).rglob("*") if p.is_file()
    ]
    return sorted(name for name in found if name not in files)


BUILD = Command(
    "regenerate dashboards, rules, runbooks and the chart's files",
    "gigawatch build --check",
    _configure,
    _run,
)
