"""`gigawatch facility`."""

from __future__ import annotations

import contextlib
import logging
import resource
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from gigawatch.command import Command
from gigawatch.errors import UserError

if TYPE_CHECKING:
    from exporters.facility.program import Facility
    from exporters.facility.settings import FacilitySettings

_PATIENCE = 15.0
"""Seconds that --once waits for the slowest device."""


def _run(args: Namespace) -> int:
    from exporters.facility.settings import facility_settings

    settings = facility_settings(args)
    if args.device and not args.once:
        raise UserError("--device chooses the device to print; it needs --once")
    if settings.simulate:
        return _simulate(settings, args)
    from exporters.facility.program import Facility
    from exporters.serve import listen_until_told, log_to_stderr
    from gigawatch.serving import load_web_config

    _raise_limit_of_files()
    load = partial(facility_settings, args)
    if args.check:
        from exporters.facility.checking import check

        with _quiet():
            return check(load, args.config)
    if args.once:
        with _quiet():
            return _print_once(Facility(load, args.config, once=True, only=args.device), args.device)
    log_to_stderr()
    from exporters.runtime.notify import Notifier

    web = load_web_config(settings.web_config) if settings.web_config else None
    notifier = Notifier()
    program = Facility(load, args.config, web, notifier)
    signal.signal(signal.SIGHUP, lambda *_: program.reload())
    program.start()
    return listen_until_told(program.app(), settings.listen, web, program.stop, notifier)


def _simulate(settings: FacilitySettings, args: Namespace) -> int:
    from exporters.facility import facility_exporter
    from exporters.serve import listen_until_told
    from exporters.simulated import print_simulated

    if args.check:
        settings.site()
        return 0
    if args.once:
        return print_simulated(settings, "facility", args.device)
    state = str(settings.state) if settings.state else ""
    exporter = facility_exporter(settings.site(), state, settings.seconds, settings.seed)
    exporter.start()
    return listen_until_told(exporter.app(), settings.listen, settings.web_config, exporter.stop)


def _print_once(program: Facility, device: str) -> int:
    """Ask everything, or one device, once. What did not answer is one line at the end."""
    if device and device not in program.site.device:
        raise UserError(f"no device '{device}' in site '{program.site.site}'")
    if not program.jobs:
        site = program.site.site
        what = (
            f"device '{device}' has no endpoint" if device else f"no device of site '{site}' has an endpoint"
        )
        raise UserError(f"{what}; add it to the inventory, or give --endpoints FILE")
    program.start()
    try:
        program.poller.wait_settled(_PATIENCE)
        pages = program.poller.pages
        for name in pages.names:
            page = pages.page(name)
            if page is not None:
                sys.stdout.write(("" if device else f"# Device {name}\n") + page.text.decode())
        failed = [tally.failure for tally in program.poller.tallies if not tally.up]
    finally:
        program.stop()
    if failed:
        sys.stdout.flush()
        more = f" (and {len(failed) - 5} more)" if len(failed) > 5 else ""
        told = f"{'; '.join(failed[:5])}{more}"
        raise UserError(f"{len(failed)} of {len(program.jobs)} endpoints failed: {told}")
    return 0


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What would be logged is said in the end, on one line."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _raise_limit_of_files() -> None:
    """A connection is kept to each device; what systems grant at first is for a thousand files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))


def _configure(parser: ArgumentParser) -> None:
    from exporters.facility.settings import add_facility_arguments

    add_facility_arguments(parser)


FACILITY = Command(
    "ask power, cooling and management devices, export them to Prometheus",
    "gigawatch facility --config facility.yaml --once",
    _configure,
    _run,
)
