"""Serving bytes over HTTP: what every part of Gigawatch that listens has in common."""

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
