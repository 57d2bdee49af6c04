"""Files that the browser loads: the viewer's own pages, scripts and styles, and the chart library uPlot."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from gigawatch.errors import UserError
from gigawatch.serving import Response

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
SECURITY = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

# uPlot 1.6.31 (MIT), the charts that Grafana draws with too, comes in the wheel of youplot. Only these two
# files of that package are used, and only if they are byte for byte the ones that uPlot's authors released.
_UPLOT_PACKAGE = "youplot"
_UPLOT_FILES = {
    "uplot.iife.min.js": "2d27e8ad3d228164525ce213f9dc716f39b4e3aee0cc773fb3491c96cf4921a2",
    "uplot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}


class Assets:
    """All static files, read and compressed once; a path that is none of them does not exist."""

    def __init__(self) -> None:
        self._bodies: dict[str, tuple[bytes, bytes, str, str]] = {}
        for path, body in [*_own_files(files("dashboards.viewer") / "static", ""), *_uplot_files()]:
            tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
            kind = TYPES[Path(path).suffix]
            self._bodies[path] = (body, gzip.compress(body, 9, mtime=0), kind, tag)

    def __contains__(self, path: str) -> bool:
        return path in self._bodies

    def respond(self, path: str, known: str = "") -> Response:
        """The file at `path`, or 304 if the browser's copy, with entity tag `known`, is still right."""
        found = self._bodies.get(path)
        if found is None:
            return Response(b"not found\n", status=404, headers=SECURITY)
        body, gzipped, kind, tag = found
        headers = {**SECURITY, "ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if known and known.removeprefix("W/") == tag:
            return Response(b"", kind, 304, headers)
        return Response(body, kind, 200, headers, gzipped)


def _own_files(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found = []
    for entry in folder.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            found += _own_files(entry, f"{path}/")
        elif Path(entry.name).suffix in TYPES:
            found.append((path, entry.read_bytes()))
    return found


def _uplot_files() -> list[tuple[str, bytes]]:
    spec = importlib.util.find_spec(_UPLOT_PACKAGE)  # finds the files without running that package's code
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise UserError(
            "the viewer needs its chart library; install it with: pip install 'gigawatch[dashboards]'"
        )
    found = []
    for name, digest in _UPLOT_FILES.items():
        try:
            body = (Path(folders[0]) / "vendor" / name).read_bytes()
        except OSError as error:
            raise UserError(f"chart library: {name} cannot be read: {error.strerror}") from None
        if hashlib.sha256(body).hexdigest() != digest:
            raise UserError(
                f"chart library: {name} differs from the uPlot 1.6.31 that this version was checked with; "
                f"install it anew with: pip install --force-reinstall '{_UPLOT_PACKAGE}==1.0.0'"
            )
        found.append((f"vendor/{name}", body))
    return found
