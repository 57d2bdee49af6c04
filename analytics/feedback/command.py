"""`gigawatch analytics mark`: say that an incident was right, wrong or known."""

from __future__ import annotations

import base64
import getpass
import json
import urllib.error
import urllib.request
from argparse import ArgumentParser, Namespace
from pathlib import Path
from urllib.parse import quote

from gigawatch.catalogue.findings import VERDICTS
from gigawatch.config import read_secret
from gigawatch.errors import UserError

HEADER = "X-Gigawatch-Request"
_DEADLINE = 10.0
_LARGEST = 1 << 20

EXAMPLES = """examples:
  gigawatch analytics mark r01-n03-gpu3-1c2f7a0 right --note "paste was dry, renewed"
  gigawatch analytics mark r01-n03-gpu3-1c2f7a0 wrong --note "new kind of job"
  gigawatch analytics mark loop-2-1c2f811 known --until 7d --note "filter exchange is ordered"

`right` and `wrong` teach how sure this cause is; `known` and `wrong` keep people from being called for it."""


def configure_mark(parser: ArgumentParser) -> None:
    """Set up the parser of the verb `mark`."""
    parser.add_argument(
        "incident", metavar="INCIDENT", help="its name, as pages and the findings page show it"
    )
    parser.add_argument("verdict", choices=VERDICTS, help="was it right, wrong, or known already?")
    parser.add_argument("--note", default="", metavar="TEXT", help="what was found, for those who come later")
    parser.add_argument(
        "--until",
        default=None,
        metavar="TIME",
        help="how long nobody is called for it, such as 7d (for known)",
    )
    parser.add_argument(
        "--by", default="", metavar="NAME", help="who (default: the name you are logged in by)"
    )
    parser.add_argument("--analytics", default="", metavar="URL", help="default: the local stack's")
    parser.add_argument("--username", default="", help="for basic auth, with --password-file")
    parser.add_argument("--password-file", type=Path, metavar="FILE")
    parser.add_argument("--stack", type=Path, metavar="DIR", help="folder of the local stack (.gigawatch)")


def run_mark(arguments: Namespace) -> int:
    """Send the mark; print what was marked."""
    url = (arguments.analytics or _local(arguments.stack)).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise UserError(f"--analytics: '{url}' is no URL; it starts with http:// or https://")
    body = {
        "verdict": arguments.verdict,
        "note": arguments.note,
        "by": arguments.by or getpass.getuser(),
        **({"until": arguments.until} if arguments.until else {}),
    }
    headers = {"Content-Type": "application/json", HEADER: "mark"}
    if arguments.username:
        if arguments.password_file is None:
            raise UserError("--username: needs --password-file")
        pair = f"{arguments.username}:{read_secret(arguments.password_file)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    request = urllib.request.Request(  # noqa: S310 - http and https only, checked above
        f"{url}/api/incidents/{quote(arguments.incident, safe='')}/mark",
        json.dumps(body).encode(),
        headers,
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=_DEADLINE) as answer:  # noqa: S310 - as above
            found = json.loads(answer.read(_LARGEST))
    except urllib.error.HTTPError as error:
        raise UserError(f"{url}: {_said(error)}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"{url}: analytics cannot be asked ({reason}); name it with --analytics") from None
    print(f"{arguments.incident} is marked {arguments.verdict}")
    if isinstance(found, dict) and found.get("headline"):
        print(f"  {found['headline']}")
    return 0


def _said(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(_LARGEST))["error"])
    except (ValueError, KeyError, TypeError):
        return f"answers with HTTP status {error.code}"


def _local(folder: Path | None) -> str:
    """Address of the analytics of the stack that `gigawatch up` started here."""
    from gigawatch.local.plan import STATE, Layout, load_plan

    plan = load_plan(Layout(folder or STATE))
    if plan is None:
        raise UserError("no local stack was started here: name --analytics URL")
    return plan.part("analytics").url
