"""The dashboards as they are generated now."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dashboards.build import GENERATED, artifacts
from gigawatch.artifacts import BuildOptions


@pytest.fixture(scope="session")
def files() -> dict[str, str]:
    """Everything the room generates."""
    return artifacts(BuildOptions())


@pytest.fixture(scope="session")
def documents(files: dict[str, str]) -> dict[str, dict[str, Any]]:
    """uid -> dashboard."""
    read = [json.loads(text) for path, text in files.items() if path.startswith(GENERATED)]
    return {document["uid"]: document for document in read}
