"""Engines from HTTP service discovery, in the format of Prometheus' http_sd."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from exporters.inference.access import OPEN, Access
from exporters.inference.discovery import MOST_TARGETS, Found
from exporters.inference.fetch import Fetcher, FetchError
from exporters.inference.targets import (
    DEFAULT_PATH,
    Target,
    check_engine,
    check_path,
    check_word,
    dialect_named,
    parse_address,
)

LARGEST_LIST = 8 << 20
_DEADLINE = 10.0
_PARAMETER = "__param_"
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class HttpDiscovery:
    """A list of engines behind a URL. `access` is for the list, `engines` for the engines in it."""

    url: str
    every: float = 30.0
    access: Access = OPEN
    engines: Access = OPEN

    @property
    def name(self) -> str:
        # Without path and query, which may hold a secret.
        return f"http_sd {urlsplit(self.url).netloc}"

    async def find(self, fetcher: Fetcher) -> Found:
        answer = await fetcher.get(self.url, self.access, _DEADLINE, "application/json", LARGEST_LIST)
        if answer.status != 200:
            raise FetchError("status", f"{self.name}: answers {answer.status}")
        # In a thread: the list may be long.
        return await asyncio.to_thread(parse_groups, answer.body, self.engines)


def parse_groups(body: bytes, access: Access = OPEN) -> Found:
    """The engines of an answer; a target that makes no sense is passed over. Raises FetchError."""
    try:
        groups = json.loads(body)
    except (ValueError, RecursionError):
        raise FetchError("parse", "the list is no JSON") from None
    if not isinstance(groups, list):
        raise FetchError("parse", "the list is no JSON array of target groups")
    found = Found()
    seen = 0
    for group in groups:
        addresses, labels = _group(group)
        for address in addresses:
            seen += 1
            if seen > MOST_TARGETS:
                raise FetchError("too_large", f"the list names more than {MOST_TARGETS} targets")
            try:
                found.targets.append(_target(address, labels, access))
            except ValueError as error:
                found.notes.append(f"http_sd: {address[:_SHOWN]!r} passed over: {error}")
    return found


def _group(group: object) -> tuple[list[str], dict[str, str]]:
    """Addresses and labels of a group. Raises FetchError."""
    addresses: Any = group.get("targets") if isinstance(group, dict) else None
    labels: Any = (group.get("labels") or {}) if isinstance(group, dict) else None
    if (
        not isinstance(addresses, list)
        or not all(isinstance(one, str) for one in addresses)
        or not isinstance(labels, dict)
        or not all(isinstance(value, str) for value in labels.values())
    ):
        raise FetchError("parse", "a group of the list is not {targets: [text], labels: {name: text}}")
    return addresses, labels


def _target(text: str, labels: Mapping[str, str], access: Access) -> Target:
    """Raises ValueError."""

    def word(name: str) -> str:
        try:
            return check_word(labels.get(name, ""))
        except ValueError as error:
            raise ValueError(f"label {name} {error}") from None

    if "/" in text:
        raise ValueError("is not HOST:PORT")
    scheme = labels.get("__scheme__", "")
    if scheme not in ("", "http", "https"):
        raise ValueError("label __scheme__ is neither http nor https")
    engine = check_engine(labels.get("engine", ""))
    dialect = dialect_named(engine)
    address = parse_address(
        text, (443 if scheme == "https" else 80) if scheme else dialect.port if dialect else 0
    )
    return Target(
        address.host,
        address.port,
        "http_sd",
        secure=scheme == "https" or (not scheme and access.tls),
        path=_path(labels, dialect.path if dialect else DEFAULT_PATH),
        engine=engine,
        model=word("model"),
        name=word("replica"),
        node=word("node"),
        gpus=tuple(filter(None, (uuid.strip() for uuid in word("gpus").split(",")))),
        job=word("job_id"),
        access=access,
    )


def _path(labels: Mapping[str, str], default: str) -> str:
    """Path and query, as Prometheus would put them together; empty where the labels say nothing."""
    path = labels.get("__metrics_path__", "")
    query = "&".join(
        f"{quote(name.removeprefix(_PARAMETER))}={quote(value)}"
        for name, value in sorted(labels.items())
        if name.startswith(_PARAMETER)
    )
    if not path and not query:
        return ""
    if path and not path.startswith("/"):
        path = f"/{path}"
    return check_path((path or default) + (f"?{query}" if query else ""))
