"""Names of layers that a person knows, such as `features.4.body.6`, where the exporter kept them.

torch.export writes the modules around a node into its metadata; the exporter before it made them the
node's name, as `/features/features.4/relu_1/Relu`. Other exporters' names are left as they are.
"""

import ast
from collections.abc import Sequence

import onnx

_SCOPES = "pkg.torch.onnx.name_scopes"


def layer_names(graph: onnx.GraphProto) -> dict[str, str]:
    """Return the layer of each node that is known to lie in one, by the node's first output.

    The last node of a module has the module's own name: its value is what comes out of there. One before
    it says its operator too: `features.4 (Add)`. A module that is called again is `relu_1` and so on, as
    the exporter before torch.export has it.
    """
    nodes = [node for node in graph.node if node.output]
    scopes = [_scope(node) for node in nodes]
    if any(_metadata(node) for node in nodes):
        scopes = _numbered(scopes)
    last = {outer: place for place, scope in enumerate(scopes) for outer in _around(scope)}
    return {
        node.output[0]: scope if last[scope] == place else f"{scope} ({node.op_type})"
        for place, (node, scope) in enumerate(zip(nodes, scopes, strict=True))
        if scope
    }


def _metadata(node: onnx.NodeProto) -> str:
    return next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "")


def _scope(node: onnx.NodeProto) -> str:
    """Return the path of the module that a node lies in; for one in the outermost, the exporter's name of
    the call; empty: it does not say."""
    if text := _metadata(node):
        try:
            scopes = [str(part) for part in ast.literal_eval(text)]
        except (ValueError, SyntaxError, TypeError):
            return ""
        return next((scope for scope in reversed(scopes[:-1]) if scope), "".join(scopes[-1:]))
    if node.name.startswith("/"):
        *modules, operator = node.name.strip("/").split("/")
        return _joined(modules) or operator
    return ""


def _joined(modules: Sequence[str]) -> str:
    """Return the path of nested modules, of which each repeats the container that it is an item of."""
    path, last = "", ""
    for name in modules:
        if last and name.startswith(f"{last}."):
            path = path.removesuffix(last)
            path = f"{path}{name}"
        else:
            path = f"{path}.{name}" if path else name
        last = name
    return path


def _around(scope: str) -> list[str]:
    """Return a module, and all that it lies in."""
    parts = scope.split(".") if scope else []
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _numbered(scopes: Sequence[str]) -> list[str]:
    """Give a module that is left and entered again a number, from its second call on."""
    inside: set[str] = set()
    calls: dict[str, int] = {}
    named = []
    for scope in scopes:
        around = _around(scope)
        if scope:
            inside &= set(around)
        if around and scope not in inside:
            calls[scope] = calls.get(scope, -1) + 1
            inside.add(scope)
        named.append(f"{scope}_{calls[scope]}" if calls.get(scope) else scope)
    return named
