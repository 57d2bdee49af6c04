"""Kubernetes' own schemas, strict about unknown fields, from the package kubernetes-validate.

Its `validate` reads two megabytes of definitions again for each object; here each version is read once.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any

import jsonschema
from referencing import Registry, Resource


@cache
def _read(version: str, file: str) -> Any:
    root = resources.files("kubernetes_validate") / "kubernetes-json-schema"
    (folder,) = (
        f for f in root.iterdir() if re.fullmatch(rf"v{re.escape(version)}(\.\d+)?-local-strict", f.name)
    )
    return json.loads((folder / file).read_text())


@cache
def _validator(version: str, kind: str, api: str) -> jsonschema.Draft202012Validator:
    schema = Resource.from_contents(_read(version, f"{kind.lower()}-{api}.json"))
    registry = Resource.from_contents(_read(version, "_definitions.json")) @ (schema @ Registry())
    return jsonschema.Draft202012Validator(schema.contents, registry=registry)


def validate(thing: dict[str, Any], version: str) -> None:
    """ValidationError where the object is wrong, FileNotFoundError where the version has no such kind."""
    api = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", thing["apiVersion"])
    _validator(version, thing["kind"], api).validate(thing)
