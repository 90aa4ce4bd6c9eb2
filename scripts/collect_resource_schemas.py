"""Collect the schemas of the custom resources in deploy/kubernetes, from packages that have them as classes.

In an environment of its own, as these packages are too large to be dependencies of the tests:

python -m venv crds && crds/bin/pip install kserve==0.21.0 cloudcoil.models.prometheus_operator==0.80.1.0
crds/bin/python scripts/collect_resource_schemas.py tests/kit/resource_schemas.json

KServe's classes are made of its OpenAPI description, the others of the operator's definitions (all are
Apache-2.0). Fields that a class does not have are refused. What is Kubernetes' own, as containers, is a
reference to `_definitions.json`, the file of the package kubernetes-validate.
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

_KSERVE = ("V1beta1InferenceService", "V1alpha1InferenceGraph")
_OPERATOR = ("ServiceMonitor", "PrometheusRule")
_SIMPLE = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_OWN = "_definitions.json#/$defs/"
_ELSEWHERE = {
    "V1ObjectMeta": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
    "K8sIoApiAppsV1DeploymentStrategy": "io.k8s.api.apps.v1.DeploymentStrategy",
    "K8sIoApiAutoscalingV2HorizontalPodAutoscalerBehavior": (
        "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior"
    ),
    "ResourceQuantity": "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "V1beta1MetricQuantity": "io.k8s.apimachinery.pkg.api.resource.Quantity",
}

Schema = dict[str, Any]


def kserve_schemas() -> tuple[Schema, Schema]:
    """Return the schemas of KServe's resources by kind, and of the parts that they are made of."""
    import kserve.models

    parts: Schema = {}

    def refer(name: str) -> Schema:
        kind = getattr(kserve.models, name, None)
        if kind is None or name in _ELSEWHERE:
            own = _ELSEWHERE.get(name, f"io.k8s.api.core.v1.{name.removeprefix('V1')}")
            return {"$ref": _OWN + own}
        if name not in parts:
            parts[name] = {}
            parts[name].update(_of_class(kind, refer))
        return {"$ref": f"#/$defs/{name}"}

    for name in _KSERVE:
        refer(name)
    return {name.split("1", 2)[-1]: {"$ref": f"#/$defs/{name}"} for name in _KSERVE}, parts


def _of_class(kind: Any, refer: Callable[[str], Schema]) -> Schema:
    """Return the schema of a class that OpenAPI's generator has written."""
    shown = {name for name in kind.openapi_types if name != "status"}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": sorted(kind.attribute_map[name] for name in shown if _is_required(kind, name)),
        "properties": {
            kind.attribute_map[name]: _of_type(kind.openapi_types[name], refer)
            for name in sorted(shown)
        },
    }


def _of_type(written: str, refer: Callable[[str], Schema]) -> Schema:
    """Return the schema of a type as the generator writes it: `str`, `list[X]`, `dict(str, X)` or a class."""
    if written in _SIMPLE:
        return {"type": _SIMPLE[written]}
    if listed := re.fullmatch(r"list\[(.+)\]", written):
        return {"type": "array", "items": _of_type(listed[1], refer)}
    if mapped := re.fullmatch(r"dict\(str, (.+)\)", written):
        return {"type": "object", "additionalProperties": _of_type(mapped[1], refer)}
    return refer(written)


def _is_required(kind: Any, name: str) -> bool:
    made = kind.__new__(kind)
    made.local_vars_configuration = type("Checks", (), {"client_side_validation": True})
    try:
        setattr(made, name, None)
    except ValueError:
        return True
    return False


def operator_schemas() -> tuple[Schema, Schema]:
    """Return the schemas of the Prometheus operator's resources by kind, and of their parts."""
    from cloudcoil.models.prometheus_operator import v1

    kinds: Schema = {}
    parts: Schema = {}
    for name in _OPERATOR:
        schema = _strict(getattr(v1, name).model_json_schema(by_alias=True))
        parts |= {f"{name}.{part}": found for part, found in schema.pop("$defs").items()}
        kinds[name] = json.loads(json.dumps(schema).replace("#/$defs/", f"#/$defs/{name}."))
        parts = {
            part: json.loads(
                re.sub(rf"#/\$defs/(?!{name}\.)", f"#/$defs/{name}.", json.dumps(found))
            )
            if part.startswith(f"{name}.")
            else found
            for part, found in parts.items()
        }
    return kinds, parts


def _strict(found: Any) -> Any:
    """Return a schema without words for people, that refuses what it does not know."""
    if isinstance(found, list):
        return [_strict(one) for one in found]
    if not isinstance(found, dict):
        return found
    kept = {
        name: {key: _strict(value) for key, value in part.items()}
        if name in ("properties", "$defs")
        else _strict(part)
        for name, part in found.items()
        if name not in ("title", "description", "default")
    }
    return kept | ({"additionalProperties": False} if "properties" in kept else {})


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("out", type=Path, help="the file to write")
    kinds, parts = (
        one | two for one, two in zip(kserve_schemas(), operator_schemas(), strict=True)
    )
    text = json.dumps({"kinds": kinds, "$defs": parts}, indent=None, sort_keys=True)
    parser.parse_args().out.write_text(text + "\n")


if __name__ == "__main__":
    main()
