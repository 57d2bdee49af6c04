"""`gigawatch proxy`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from gigawatch.command import Command


def _configure(parser: ArgumentParser) -> None:
    from exporters.inference.proxy.settings import add_arguments

    add_arguments(parser)


def _run(args: Namespace) -> int:
    from exporters.inference.proxy.service import run
    from exporters.inference.proxy.settings import settings_of
    from exporters.serve import log_to_stderr

    settings = settings_of(args)
    log_to_stderr()
    return run(settings)


PROXY = Command(
    "count the tokens of an engine without metrics, such as Ollama",
    "gigawatch proxy --upstream http://127.0.0.1:11434 --listen 127.0.0.1:9619 --metrics :9620",
    _configure,
    _run,
)
