"""Gigawatch: telemetry, DCIM monitoring and predictive maintenance for AI factories."""

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """Version of the installed distribution, or "unknown" when run from a bare checkout."""
    try:
        return version("gigawatch")
    except PackageNotFoundError:
        return "unknown"
