"""The `gigawatch` program: finds each room's commands by entry point and runs one."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn

from gigawatch import package_version
from gigawatch.command import Command
from gigawatch.errors import UserError

GROUP = "gigawatch.commands"


def main(argv: list[str] | None = None) -> int:
    """Run one command. Exit status: 0 success, 1 a failure explained in one line, 2 wrong usage."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        return _run(arguments)
    except UserError as error:
        print(f"gigawatch: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, less) has left; a second complaint at interpreter exit would be noise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(arguments: list[str]) -> int:
    points = {point.name: point for point in entry_points(group=GROUP)}
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview(points))
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        print(f"gigawatch {package_version()}")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in points:
        known = ", ".join(sorted(points)) or "none: the package is not installed"
        print(f"gigawatch: no command '{name}'; known commands: {known}", file=sys.stderr)
        return 2
    command = _load(points[name])
    parser = argparse.ArgumentParser(
        prog=f"gigawatch {name}",
        description=command.summary,
        epilog=f"example:\n  {command.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.configure(parser)
    options = parser.parse_args(rest)
    try:
        return command.run(options)
    except ModuleNotFoundError as error:
        raise _not_installed(points[name], error) from error


def _load(point: EntryPoint) -> Command:
    try:
        command = point.load()
    except ModuleNotFoundError as error:
        raise _not_installed(point, error) from error
    if not isinstance(command, Command):
        _broken(point)
    return command


def _not_installed(point: EntryPoint, error: ModuleNotFoundError) -> UserError:
    """Commands import heavy libraries late, so a missing extra can show while loading or while running."""
    room = point.value.split(".")[0]
    extra = {"gigawatch": "simulator" if "simulator" in point.value else "all"}.get(room, room)
    return UserError(
        f"'{point.name}' needs the Python module '{error.name}', which is not installed; "
        f"install it with: pip install 'gigawatch[{extra}]'"
    )


def _broken(point: EntryPoint) -> NoReturn:
    raise UserError(f"entry point '{point.name}' ({point.value}) is not a command; reinstall gigawatch")


def _overview(points: dict[str, EntryPoint]) -> str:
    lines = [
        f"gigawatch {package_version()}: telemetry and DCIM monitoring for AI factories",
        "",
        "usage: gigawatch COMMAND [OPTIONS]      (gigawatch COMMAND --help shows an example)",
        "",
    ]
    for name in sorted(points):
        try:
            command = _load(points[name])
        except UserError as error:
            lines.append(f"  {name:<10} not available: {error}")
            continue
        if not command.hidden:
            lines.append(f"  {name:<10} {command.summary}")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
