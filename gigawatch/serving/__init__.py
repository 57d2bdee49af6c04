"""Serving bytes over HTTP: what every part of Gigawatch that listens has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gigawatch.lazy import lazily

if TYPE_CHECKING:
    from gigawatch.serving.exposition import CONTENT_TYPE, OPENMETRICS_TYPE, render, to_openmetrics
    from gigawatch.serving.http import App, Request, Response, Running, free_port, parse_listen, serve
    from gigawatch.serving.web import WebConfig, load_web_config

__all__ = [
    "CONTENT_TYPE",
    "OPENMETRICS_TYPE",
    "App",
    "Request",
    "Response",
    "Running",
    "WebConfig",
    "free_port",
    "load_web_config",
    "parse_listen",
    "render",
    "serve",
    "to_openmetrics",
]

__getattr__ = lazily(
    __name__,
    {
        "App": "http",
        "CONTENT_TYPE": "exposition",
        "OPENMETRICS_TYPE": "exposition",
        "Request": "http",
        "Response": "http",
        "Running": "http",
        "WebConfig": "web",
        "free_port": "http",
        "load_web_config": "web",
        "parse_listen": "http",
        "render": "exposition",
        "serve": "http",
        "to_openmetrics": "exposition",
    },
)
