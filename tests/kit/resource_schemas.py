"""What Kubernetes and those who extend it take: the schemas of resources, with unknown fields refused."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate

VERSIONS = ("1.29", "1.31", "1.33", "1.35", "1.37")
"""Of Kubernetes: what the manifests are held against."""
NEWEST = VERSIONS[-1]

_FOLDER = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
_EXTENSIONS = Path(__file__).parent / "resource_schemas.json"
"""Written by scripts/collect_resource_schemas.py."""
_BASE = "https://kubernetes.io/api/"


@cache
def _document(path: Path) -> Any:
    return json.loads(path.read_text())


def extensions() -> set[str]:
    """Return the kinds of resources that are not Kubernetes' own, and have a schema here."""
    return set(_document(_EXTENSIONS)["kinds"])


def faults(resource: dict[str, Any], version: str = NEWEST) -> list[str]:
    """Return what is wrong with a resource; FileNotFoundError for a kind without a schema."""
    return [error.message for error in _validator(resource, version).iter_errors(resource)]


def _validator(resource: dict[str, Any], version: str) -> Any:
    kind, (group, *of_group) = resource["kind"], resource["apiVersion"].split("/")
    return _made(kind, "-".join([kind.lower(), group.partition(".")[0], *of_group]), version)


@cache
def _made(kind: str, name: str, version: str) -> Any:
    folder = _FOLDER / f"v{version}.0-local-strict"
    registry = jsonschema_rs.Registry(
        [(f"{_BASE}_definitions.json", _document(folder / "_definitions.json"))]
    )
    if kind in extensions():
        found = _document(_EXTENSIONS)
        schema = {"$id": f"{_BASE}{kind}", "$defs": found["$defs"], **found["kinds"][kind]}
    else:
        schema = _document(folder / f"{name}.json")
    return jsonschema_rs.Draft202012Validator(schema, registry=registry)
