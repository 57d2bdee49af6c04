"""What is scraped: one target per engine, wherever it was found."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from exporters.inference.access import OPEN, Access
from exporters.inference.dialect import Dialect
from exporters.inference.dialects import all_dialects

DEFAULT_PATH = "/metrics"
LONGEST_WORD = 253
"""Characters of a name that becomes a label value."""
_LONGEST_ADDRESS = 2048


@dataclass(frozen=True)
class Target:
    """An engine to scrape. Empty: not known.

    `source`: what found it (config, http_sd, kubernetes). `path` with its query: the dialect's where empty.
    `engine`: a dialect's name; told by content where empty. `patience` in seconds. `health`: path or URL of
    the health route, `off`, or empty for the dialect's. `pods`: all that make up the replica. `starting`: it
    may still be loading its model, so that no answer means nothing yet.
    """

    host: str
    port: int
    source: str
    secure: bool = False
    path: str = ""
    engine: str = ""
    model: str = ""
    name: str = ""
    node: str = ""
    gpus: tuple[str, ...] = ()
    job: str = ""
    pods: tuple[tuple[str, str], ...] = ()
    patience: float | None = None
    health: str = ""
    access: Access = OPEN
    starting: bool = False

    @cached_property
    def address(self) -> str:
        """HOST:PORT."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @cached_property
    def key(self) -> str:
        """What is scraped, whoever found it: two targets of one key are one."""
        dialect = dialect_named(self.engine)
        return self.address + (self.path or (dialect.path if dialect else DEFAULT_PATH))

    @cached_property
    def replica(self) -> str:
        """The replica's name: the one that was given, or where it answers."""
        return self.name or self.address

    def url(self, path: str, port: int = 0) -> str:
        """The address of a path of it."""
        where = dataclasses.replace(self, port=port).address if port else self.address
        return f"{'https' if self.secure else 'http'}://{where}{path}"


@dataclass(frozen=True, slots=True)
class Address:
    """An address as somebody wrote it: `secure` and `path` are None and empty where it does not say."""

    host: str
    port: int
    secure: bool | None = None
    path: str = ""


def dialect_named(engine: str) -> Dialect | None:
    """The dialect of a kind of engine; None for the empty name and for one that nobody knows."""
    return next((one for one in all_dialects() if one.engine == engine), None) if engine else None


def parse_address(text: str, default_port: int = 0) -> Address:
    """HOST:PORT, or an http URL. Raises ValueError, which says what is allowed and shows no password."""
    allowed = "write HOST:PORT or http(s)://HOST:PORT/PATH"
    if len(text) > _LONGEST_ADDRESS or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"is no address; {allowed}")
    if "@" in text:
        raise ValueError("holds a user name or password; give them as basic_auth, with a password_file")
    try:
        split = urlsplit(text if "://" in text else f"//{text}")
        host, port = split.hostname or "", split.port
    except ValueError:
        raise ValueError(f"'{text}' is no address; {allowed}") from None
    if not host or split.scheme not in ("", "http", "https") or split.fragment:
        raise ValueError(f"'{text}' is no address; {allowed}")
    if port is None and split.scheme:
        port = 443 if split.scheme == "https" else 80
    port = port or default_port
    if not port:
        raise ValueError(f"'{text}' names no port; {allowed}")
    path = split.path if split.path != "/" else ""
    query = f"?{split.query}" if split.query else ""
    secure = split.scheme == "https" if split.scheme else None
    return Address(host, port, secure, (path or (DEFAULT_PATH if query else "")) + query)


def check_path(text: str) -> str:
    """A path, its query included. Raises ValueError."""
    if not text.startswith("/") or not text.isascii() or not text.isprintable() or " " in text or "#" in text:
        raise ValueError(f"'{text[:80]}' is no path; it starts with / and holds no blanks")
    if len(text) > _LONGEST_ADDRESS:
        raise ValueError("is too long")
    return text


def check_word(text: str) -> str:
    """A name that becomes a label value. Raises ValueError."""
    if len(text) > LONGEST_WORD or not text.isprintable() or text != text.strip():
        raise ValueError(f"is no name: one line of at most {LONGEST_WORD} printable characters")
    return text


def check_engine(text: str) -> str:
    """A dialect's name; empty for `auto`. Raises ValueError."""
    if text in ("", "auto"):
        return ""
    if dialect_named(text) is None:
        known = ", ".join(sorted(one.engine for one in all_dialects()))
        raise ValueError(f"'{text[:40]}' is no engine that is known; allowed: auto, {known}")
    return text


_FILLED = ("engine", "model", "name", "node", "gpus", "job", "pods", "patience", "health")
"""What a target may take over from a less particular word on the same engine."""


def combine(lists: Iterable[Sequence[Target]]) -> tuple[dict[str, Target], list[str]]:
    """One target per engine, by key, from lists that grow less particular; and what is worth telling.

    What the most particular list does not say is taken from the others. No two targets bear one name.
    """
    found: dict[str, Target] = {}
    notes: list[str] = []
    for group in lists:
        for target in sorted(group, key=lambda one: one.key) if group else ():
            first = found.get(target.key)
            if first is None:
                found[target.key] = target
                continue
            notes.append(
                f"{target.address} is named by {first.source} and {target.source}: {first.source} counts"
            )
            further = {name: getattr(target, name) for name in _FILLED if not getattr(first, name)}
            found[target.key] = dataclasses.replace(first, **further)
    return _names_apart(found, notes), list(dict.fromkeys(notes))


def _names_apart(found: dict[str, Target], notes: list[str]) -> dict[str, Target]:
    """Each with a name of its own: the name given, the address, or the address with its path."""
    holder: dict[str, str] = {}
    apart: dict[str, Target] = {}
    # Names that somebody chose come before those that follow from addresses.
    for key, target in sorted(found.items(), key=lambda item: not item[1].name):
        choice = (target.replica, target.address, key, f"{key} ({target.source})")
        name = next((one for one in choice if one not in holder), f"{key} #{len(apart)}")
        if target.name and name != target.name:
            notes.append(
                f"replica '{target.name}' stands for {holder[target.name]} already: {key} goes by {name}"
            )
        holder[name] = key
        apart[key] = target if name == target.replica else dataclasses.replace(target, name=name)
    return {key: apart[key] for key in found}
