"""What a failure of ONNX Runtime is due to, told from its words, and what to do then.

The runtime raises types by layer of its code, not by cause: a lack of memory, a value out of range and a
shape that does not fit are all its `Fail`. So the words decide; the first cause that fits is it.
"""

import re
from dataclasses import dataclass
from enum import Enum

from partitioner.runtime.silent_runtime import onnxruntime
from protos.errors import reason

_SOURCE = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : (?:Load model from \S+ failed: ?)?|"
    r"\S+\.(?:cc|cpp|cu|h|hpp):\d+ (?:[^\n()]*::[^\n()]*\((?:[^()]|\([^()]*\))*\)(?: const)? )?"
)
"""What precedes its words: a status, a file, a place in its sources, the signature of the function there."""
_NODE = re.compile(
    r"Non-zero status code returned while running (\S+) node\. Name:'([^']*)' Status Message: *"
)
_NAMES = re.compile(
    r"Name:'[^']*'|Node ?\([^()]*\)|Load model from \S+ failed|[\w:]*\([^()]*TensorShape[^()]*\)"
)
"""Where the words of any cause may stand by chance: names of nodes, paths, signatures in its sources."""
_GPU = re.compile(r"\b(CU[A-Z_]+ failure \d+: [^;]*[^;\s])")
"""What a library of CUDA says; the host, the place and the call follow it."""
_LONGEST = 300
_VERSION: str = onnxruntime.__version__


class Cause(Enum):
    """Why a session did not open, or did not run."""

    MEMORY = "memory"
    GPU = "gpu"
    OPERATOR = "operator"
    TOO_NEW = "too new"
    KERNEL = "kernel"
    DISK = "disk"
    DAMAGED = "damaged"
    WEIGHTS = "weights"
    TYPES = "types"
    SHAPES = "shapes"
    GRAPH = "graph"
    VALUES = "values"
    FEEDS = "feeds"
    UNKNOWN = "unknown"


_WORDS: tuple[tuple[Cause, str], ...] = (
    (
        Cause.MEMORY,
        r"Failed to allocate memory|bad.?alloc|bad allocation|out of memory|Cannot allocate memory|"
        r"CUDA failure 2\b|_ALLOC_FAILED",
    ),
    (Cause.GPU, _GPU.pattern),
    (
        Cause.OPERATOR,
        r"No Op registered for|is not a registered function/op|No opset import for domain|"
        r"Failed to find kernel def|Custom operator|No schema registered",
    ),
    (
        Cause.TOO_NEW,
        r"is under development|max supported (?:IR version|opset)|Unsupported model IR",
    ),
    (Cause.KERNEL, r"Could not find an implementation|NOT_IMPLEMENTED|No kernel found"),
    (Cause.DAMAGED, r"protobuf parsing failed|INVALID_PROTOBUF|NO_SUCHFILE|File doesn't exist"),
    (Cause.WEIGHTS, r"[Ee]xternal (?:data|initializer)|Deserialize tensor"),
    (
        Cause.FEEDS,
        r"Got invalid dimensions for input|Invalid rank for input|Unexpected input data type|"
        r"Required inputs .* are missing",
    ),
    (Cause.TYPES, r"Type Error|bound to different types|Unexpected data type"),
    (
        Cause.SHAPES,
        r"ShapeInferenceError|dimension mismatch|[Ii]ncompatible dimensions|cannot be reshaped|"
        r"Mismatch between number of|broadcast|[Ss]hape",
    ),
    (Cause.GRAPH, r"INVALID_GRAPH|not acyclic|Invalid model|invalid model"),
    (Cause.VALUES, r"Non-zero status code returned while running"),
)


@dataclass(frozen=True)
class Failure:
    """One failure: its cause, the runtime's words without the places in its sources, and the operator."""

    cause: Cause
    said: str
    operator: str = ""

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Tell the cause of what the runtime raised."""
        text = str(error) or type(error).__name__
        if isinstance(error, MemoryError):
            return cls(Cause.MEMORY, "out of memory")
        if isinstance(error, OSError):
            return cls(Cause.DISK, reason(error))
        said = _NAMES.sub("", text)
        found = next((cause for cause, words in _WORDS if re.search(words, said)), Cause.UNKNOWN)
        node = _NODE.search(text)
        named = re.search(
            r"No Op registered for (\S+)|(\S+) is not a registered|domain '([^']*)'", text
        )
        operator = node[1] if node else next((g for g in named.groups() if g), "") if named else ""
        return cls(found, _plain(text), operator)

    def advice_on_opening(self, remake: str = "import the model again") -> str:
        """Return what to do about a graph that does not open; `remake` is how such a graph is made anew."""
        operator = self.operator or "this operator"
        return _OPENING.get(self.cause, _ELSE).format(operator, _VERSION, remake)

    @property
    def advice_on_running(self) -> str:
        """What to do about a graph of a bundle that opened and does not run."""
        return _RUNNING.get(self.cause, _ELSE_RUNNING)


_ELSE = "See which cuts work: splitpoint verify BUNDLE."
_ELSE_RUNNING = "See whether it is the cut: splitpoint verify BUNDLE --data INPUTS."
_REMAKE = "To have what does not open left out, {2}."
_AGAIN = "Copy the bundle again, or {2}."
_GPU_FAILED = (
    "The GPU failed, which a lack of its memory may look like: nvidia-smi shows who takes it. Free some, "
    "allow fewer sessions, or start this program again."
)
_OPENING: dict[Cause, str] = {
    Cause.GPU: _GPU_FAILED,
    Cause.MEMORY: "Free memory, allow fewer sessions, or choose a cut that leaves less to this machine.",
    Cause.OPERATOR: "onnxruntime {1} has no {0}: install one that has it, as where the bundle was made.",
    Cause.TOO_NEW: "Update onnxruntime, which is {1} here.",
    Cause.KERNEL: "onnxruntime {1} does not compute that on this provider: use another provider, or import "
    "the model in other data types.",
    Cause.DAMAGED: _AGAIN,
    Cause.WEIGHTS: _AGAIN,
    Cause.DISK: "It takes files of its own for a moment: make room for temporary files (TMPDIR).",
    Cause.TYPES: _REMAKE,
    Cause.SHAPES: _REMAKE,
    Cause.GRAPH: _REMAKE,
}
_RUNNING: dict[Cause, str] = {
    Cause.GPU: _GPU_FAILED,
    Cause.MEMORY: "Free memory, or send fewer samples at a time.",
    Cause.SHAPES: "The model does not take inputs of these sizes and values together.",
    Cause.VALUES: "The model does not take these values: compare them with inputs that it was made for.",
}


def _plain(text: str) -> str:
    """Return the runtime's words on one line, without where in its sources it says them."""
    node = _NODE.search(text)
    rest = _NODE.sub("", text)
    gpu = _GPU.search(rest)
    words = gpu[1] if gpu else " ".join(_SOURCE.sub("", rest).split()).rstrip(" .")
    words = words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"
    where = f"{node[1]} {node[2]}".strip() + ": " if node else ""
    return where + words
