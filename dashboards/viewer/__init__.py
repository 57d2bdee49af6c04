"""The built-in viewer: the generated Grafana dashboards in a browser, without Grafana."""

from dashboards.viewer.server import Settings, build_app

__all__ = ["Settings", "build_app"]
