"""The serving process: starts an exporter and answers until it is told to end.

`gigawatch agent` reads and checks its settings, and then becomes this program (same process, new image): what
was needed to understand the settings would otherwise stay in memory for ever.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from exporters.runtime.notify import Notifier
from exporters.sections import AgentPlan
from gigawatch.errors import UserError
from gigawatch.serving import App, WebConfig, load_web_config, serve


def become_agent(plan: AgentPlan) -> NoReturn:
    """Replace this program by the agent's serving process."""
    # Not CLOEXEC: the plan is for the program that comes.
    descriptor = os.memfd_create("gigawatch-plan", 0)
    os.write(descriptor, pickle.dumps(plan))
    os.lseek(descriptor, 0, os.SEEK_SET)
    sys.stdout.flush()
    sys.stderr.flush()
    # Ourselves, by the interpreter that runs us.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "exporters.serve", str(descriptor)])  # noqa: S606


def log_to_stderr() -> None:
    """What is worth telling goes where a service manager looks for it."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)


def listen_until_told(
    app: App,
    listen: str,
    web: WebConfig | Path | None,
    stop: Callable[[], None],
    notifier: Notifier | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT; then stop everything that was started."""
    log_to_stderr()
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    try:
        running = serve(app, listen, load_web_config(web) if isinstance(web, Path) else web)
        print(f"listening on {running.url}", file=sys.stderr, flush=True)
        if notifier is not None:
            notifier.ready(f"listening on {running.url}")
        over.wait()
        if notifier is not None:
            notifier.stopping()
        running.close()
    finally:
        stop()
    return 0


def main() -> int:
    """The agent; its argument is the descriptor from which to read its plan."""
    from exporters.agent import agent_exporter

    log_to_stderr()
    with os.fdopen(int(sys.argv[1]), "rb") as source:
        plan = pickle.load(source)  # noqa: S301 - written by ourselves a moment ago
    try:
        notifier = Notifier()
        web = load_web_config(plan.web_config) if plan.web_config else None
        exporter = agent_exporter(plan, notifier, web)
        exporter.start()
        return listen_until_told(exporter.app(), plan.listen, web, exporter.stop, notifier)
    except UserError as error:
        print(f"gigawatch: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
