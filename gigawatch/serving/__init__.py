"""Serving bytes over HTTP: what every part of Gigawatch that listens has in common."""

from gigawatch.serving.exposition import CONTENT_TYPE, render
from gigawatch.serving.http import App, Request, Response, Running, free_port, parse_listen, serve

__all__ = [
    "CONTENT_TYPE",
    "App",
    "Request",
    "Response",
    "Running",
    "free_port",
    "parse_listen",
    "render",
    "serve",
]
