"""`gigawatch agent`; the facility's and the inventory's commands stand in their own packages."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from exporters.facility.command import FACILITY
from exporters.inventory.command import SD
from gigawatch.command import Command
from gigawatch.errors import UserError
from gigawatch.serving import load_web_config

if TYPE_CHECKING:
    from exporters.runtime import Exporter
    from exporters.settings import Settings

__all__ = ["AGENT", "FACILITY", "SD"]

_PATIENCE = 20.0
"""Seconds that --once waits for the slowest source."""


def _run_agent(args: Namespace) -> int:
    from exporters.settings import AgentSettings, settings_of

    settings = settings_of(args, AgentSettings, "GIGAWATCH_AGENT")
    if args.node and not (settings.simulate and args.once):
        raise UserError("--node chooses a simulated node to print; it needs --simulate and --once")
    plan = settings.plan(os.environ)
    if settings.simulate:
        if args.once:
            from exporters.simulated import print_simulated

            return print_simulated(settings, "agent", args.node)
        from exporters.simulating import simulating_exporter

        state = str(settings.state) if settings.state else ""
        return _serve(simulating_exporter(plan, settings.site(), state, settings.seed), settings)
    if args.once:
        from exporters.agent import agent_exporter

        return _print_once(agent_exporter(plan))
    from exporters.serve import become_agent

    if settings.web_config:
        load_web_config(settings.web_config)  # what is wrong with it is said before anything starts
    return become_agent(plan)


def _serve(exporter: Exporter, settings: Settings) -> int:
    from exporters.serve import listen_until_told

    exporter.start()
    return listen_until_told(exporter.app(), settings.listen, settings.web_config, exporter.stop)


def _print_once(exporter: Exporter) -> int:
    exporter.start()
    try:
        exporter.wait_settled(_PATIENCE)
        sys.stdout.write(exporter.compose().text.decode())
    finally:
        exporter.stop()
    return 0


def _configure_agent(parser: ArgumentParser) -> None:
    from exporters.settings import add_arguments

    add_arguments(parser, "agent", 9610)


AGENT = Command(
    "export a node's GPUs and host to Prometheus",
    "gigawatch agent --simulate --once",
    _configure_agent,
    _run_agent,
)
