"""`gigawatch workload`."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, Namespace
from functools import partial
from typing import TYPE_CHECKING

from gigawatch.command import Command

if TYPE_CHECKING:
    from exporters.workload import Workload

_PATIENCE = 20.0
"""Seconds that --once waits for the slowest."""


def _run(args: Namespace) -> int:
    from exporters.runtime.notify import Notifier
    from exporters.serve import listen_until_told, log_to_stderr
    from exporters.workload import Workload
    from exporters.workload_settings import settings_of
    from gigawatch.serving import load_web_config

    log_to_stderr()
    load = partial(settings_of, args)
    if args.check:
        Workload(load, args.config)
        return 0
    if args.once:
        return _print_once(Workload(load, args.config, once=True))
    settings = load()
    web = load_web_config(settings.web_config) if settings.web_config else None
    notifier = Notifier()
    workload = Workload(load, args.config, web, notifier)
    signal.signal(signal.SIGHUP, lambda *_: workload.reload())
    workload.start()
    return listen_until_told(workload.app(), settings.listen, web, workload.stop, notifier)


def _print_once(workload: Workload) -> int:
    workload.start()
    try:
        workload.wait_settled(_PATIENCE)
        sys.stdout.write(workload.exporter.compose().text.decode())
    finally:
        workload.stop()
    return 0


def _configure(parser: ArgumentParser) -> None:
    from exporters.workload_settings import add_arguments

    add_arguments(parser)


WORKLOAD = Command(
    "scrape inference engines and queues of the site, export them to Prometheus",
    "gigawatch workload --config workload.yaml --once",
    _configure,
    _run,
)
