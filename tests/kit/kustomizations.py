"""Builds kustomizations as `kubectl kustomize` does, as far as ours go: what it does not know is an error.

It adds no digest to the names of generated config maps.
"""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

_KNOWN = {
    "apiVersion", "kind", "resources", "components", "configMapGenerator", "patches", "images", "replicas",
    "configurations", "namespace",
}  # fmt: skip
_GENERATED = {"name", "behavior", "envs", "files", "literals"}
_MERGED_BY = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
}
"""Lists whose entries are merged, and what tells the entries apart; others are replaced."""


def build(folder: Path) -> list[Document]:
    """Return the resources of a kustomization."""
    built: list[Document] = []
    _add(folder, built)
    return built


def documents(path: Path) -> list[Document]:
    """Return what a file of YAML holds."""
    return deepcopy(_loaded(path.read_text()))


@cache
def _loaded(text: str) -> list[Document]:
    # YAML takes far longer to read than all else here.
    return [one for one in yaml.load_all(text, yaml.CSafeLoader) if one]


def _add(folder: Path, built: list[Document]) -> None:
    """Add a kustomization, or a component, to what was built before."""
    (told,) = documents(folder / "kustomization.yaml")
    assert told.keys() <= _KNOWN, f"{folder}: {told.keys() - _KNOWN}"
    for name in told.get("resources", []):
        path = folder / name
        built += build(path) if path.is_dir() else documents(path)
    for generated in told.get("configMapGenerator", []):
        _generate(folder, generated, built)
    for name in told.get("components", []):
        _add(folder / name, built)
    _transform(folder, told, built)


def _transform(folder: Path, told: Document, built: list[Document]) -> None:
    """Change what was built as a kustomization asks for."""
    for patch in told.get("patches", []):
        assert patch.keys() == {"path"}
        for change in documents(folder / patch["path"]):
            found = find(built, change["kind"], change["metadata"]["name"])
            found.update(_merged(found, change))
    for replicas in told.get("replicas", []):
        find(built, "Deployment", replicas["name"])["spec"]["replicas"] = replicas["count"]
    for one in built if "namespace" in told else ():
        one["metadata"]["namespace"] = told["namespace"]
    for image in told.get("images", []):
        for one in _images(built):
            key = "image" if "image" in one else "reference"
            name, _, tag = one[key].partition(":")
            if name == image["name"]:
                tag = image.get("newTag", tag)
                one[key] = image.get("newName", name) + (f":{tag}" if tag else "")


def find(built: list[Document], kind: str, name: str) -> Document:
    """Return the resource of that kind and name."""
    (found,) = (one for one in built if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def _generate(folder: Path, told: Document, built: list[Document]) -> None:
    assert told.keys() <= _GENERATED, told
    files = [folder / name for name in told.get("envs", [])]
    lines = [line for path in files for line in path.read_text().splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    data = dict(line.split("=", 1) for line in (*lines, *told.get("literals", [])))
    data |= {name: (folder / name).read_text() for name in told.get("files", [])}
    if told.get("behavior") == "merge":
        find(built, "ConfigMap", told["name"])["data"] |= data
    else:
        metadata = {"name": told["name"]}
        built.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _merged(found: Any, change: Any, within: str = "") -> Any:
    """Return `found` with a strategic merge patch: null and `$patch: delete` take away."""
    if isinstance(change, dict):
        kept = dict(found) if isinstance(found, dict) else {}
        for key, value in change.items():
            if value is None:
                kept.pop(key, None)
            else:
                kept[key] = _merged(kept.get(key), value, key)
        return kept
    if isinstance(change, list) and within in _MERGED_BY:
        key = _MERGED_BY[within]
        entries = {one[key]: one for one in found or []}
        for one in change:
            if one.get("$patch") == "delete":
                del entries[one[key]]
            else:
                entries[one[key]] = _merged(entries.get(one[key]), one)
        return list(entries.values())
    return deepcopy(change)


def _images(found: Any) -> Iterator[Document]:
    """Yield what names an image: containers, and volumes of an image."""
    if isinstance(found, dict):
        if isinstance(found.get("image"), str):
            yield found
        if isinstance(found.get("image"), dict):
            yield found["image"]
        for one in found.values():
            yield from _images(one)
    elif isinstance(found, list):
        for one in found:
            yield from _images(one)
