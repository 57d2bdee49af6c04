"""Gigawatch: telemetry, DCIM monitoring and predictive maintenance for AI factories."""

from functools import cache


@cache
def package_version() -> str:
    """Version of the installed distribution, or "unknown" when run from a bare checkout."""
    # Imported when asked for: it takes megabytes, which not every process of ours has use for.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("gigawatch")
    except PackageNotFoundError:
        return "unknown"
