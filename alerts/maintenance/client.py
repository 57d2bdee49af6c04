"""Alertmanager's API v2, as far as silences need it."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gigawatch.config import read_secret
from gigawatch.errors import UserError

_DEADLINE = 10.0
_LARGEST = 16 << 20


@dataclass(frozen=True, slots=True)
class Door:
    """Where Alertmanager is and what it asks of us. Secrets come from files."""

    url: str
    username: str = ""
    password_file: Path | None = None
    bearer_token_file: Path | None = None
    ca_file: Path | None = None


class Alertmanager:
    """Silences of one Alertmanager. Every failure is a UserError that names it, never a secret."""

    def __init__(self, door: Door) -> None:
        if not door.url.startswith(("http://", "https://")):
            raise UserError(f"--alertmanager: '{door.url}' is no URL; it starts with http:// or https://")
        self._url = door.url.rstrip("/")
        self._headers = {"Content-Type": "application/json", **_authorization(door)}
        self._context = _context(door)

    def create(self, silence: Mapping[str, Any]) -> str:
        """Its id."""
        answer = self._call("POST", "/api/v2/silences", silence)
        if not isinstance(answer, dict) or not isinstance(answer.get("silenceID"), str):
            raise UserError(f"{self._url}: took the silence and gave it no id; is this an Alertmanager?")
        return str(answer["silenceID"])

    def silences(self) -> list[dict[str, Any]]:
        """All that it knows, the ended ones too."""
        answer = self._call("GET", "/api/v2/silences")
        if not isinstance(answer, list):
            raise UserError(f"{self._url}: answers without a list of silences; is this an Alertmanager?")
        return [one for one in answer if isinstance(one, dict)]

    def expire(self, silence: str) -> None:
        """End a silence now."""
        self._call("DELETE", f"/api/v2/silence/{silence}")

    def _call(self, method: str, path: str, body: object = None) -> object:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(  # noqa: S310 - http and https only, checked above
            self._url + path, data, self._headers, method=method
        )
        try:
            with urllib.request.urlopen(  # noqa: S310 - as above
                request, timeout=_DEADLINE, context=self._context
            ) as answer:
                text = answer.read(_LARGEST)
        except urllib.error.HTTPError as error:
            said = error.read(300).decode(errors="replace").strip()
            raise UserError(f"{self._url}: answers {error.code} to {method} {path}: {said}") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise UserError(f"{self._url}: cannot be asked ({reason})") from None
        try:
            return json.loads(text) if text.strip() else None
        except ValueError:
            raise UserError(f"{self._url}: answers without JSON; is this an Alertmanager?") from None


def _authorization(door: Door) -> dict[str, str]:
    if door.bearer_token_file is not None:
        return {"Authorization": f"Bearer {read_secret(door.bearer_token_file)}"}
    if door.username:
        if door.password_file is None:
            raise UserError("--username: needs --password-file")
        pair = f"{door.username}:{read_secret(door.password_file)}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def _context(door: Door) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(door.ca_file) if door.ca_file else None)
    except OSError as error:
        raise UserError(f"{door.ca_file}: is no readable file of certificates ({error.strerror})") from None
