"""The engines that we know, and those that somebody has measured."""

import json
import tomllib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from partitioner.common.faults import first_fault
from partitioner.common.files import MAX_DOCUMENT_BYTES, read_document
from partitioner.common.nearest import meant_text
from partitioner.simulation.sizing.engine import MeasuredRequest, ServingEngine
from protos.errors import FileError, UnknownNameError, reason

ALL = "all"
_FORM = (
    'a JSON list of rows such as {"engine": "mine", "tail_s": 0.005, "request_bytes": 50176, '
    '"request_cpu_s": 0.0066}'
)


class _Row(MeasuredRequest):
    """One row of a file of measurements; the last row of an engine that says something of it has its way."""

    engine: str = Field(min_length=1, max_length=64)
    title: str | None = None
    batches: bool | None = None
    turns: float | None = Field(default=None, ge=0, le=1)
    pooled: bool | None = None
    process_bytes: float | None = Field(default=None, ge=0)
    codecs: Literal["all"] | tuple[str, ...] | None = None


def engine_names() -> list[str]:
    """Return the names of the engines that come with Splitpoint."""
    return sorted(entry.name.removesuffix(".toml") for entry in _data().iterdir())


def load_engine(name: str) -> ServingEngine:
    """Return an engine that comes with Splitpoint. Raises UnknownNameError."""
    if name not in (known := engine_names()):
        raise UnknownNameError(
            f"there is no engine {name!r}.{meant_text(name, known)} Use one of {', '.join(known)}, {ALL}, or "
            "what you have measured: `engines` FILE.json."
        )
    document = tomllib.loads((_data() / f"{name}.toml").read_text())
    return ServingEngine.model_validate({"name": name, **document})


def read_engines(path: Path) -> list[ServingEngine]:
    """Return the engines that a file tells of: a JSON list with a row for each request that was measured.

    A row has `engine`, `request_cpu_s`, `tail_s` and `request_bytes`, and may have `answer_bytes`, `title`,
    `batches`, `turns`, `pooled`, `process_bytes` and `codecs`, as in ServingEngine. An engine with the name
    of a known one decodes what that does, if the file does not say. Raises FileError.
    """
    try:
        rows = [_Row.model_validate(row) for row in _list(read_document(path, MAX_DOCUMENT_BYTES))]
        return [_engine(name, rows) for name in dict.fromkeys(row.engine for row in rows)]
    except OSError as error:
        raise FileError(
            f"the engines {path} cannot be read: {reason(error)}. Give the path of {_FORM}."
        ) from error
    except ValidationError as error:
        raise FileError(
            f"{path} tells of no engines: {first_fault(error)}. Give {_FORM}."
        ) from error
    except ValueError as error:
        raise FileError(f"{path} tells of no engines: {reason(error)}. Give {_FORM}.") from error


def engines_of(names: Iterable[str], path: Path | None) -> list[ServingEngine]:
    """Return engines by their names (`all`: those that come with Splitpoint), and all of a file.

    One of the file takes the place of one that has its name. Raises UnknownNameError and FileError.
    """
    measured = {engine.name: engine for engine in read_engines(path)} if path else {}
    wanted = [each for name in names for each in (engine_names() if name == ALL else [name])]
    found = [measured.get(name) or load_engine(name) for name in dict.fromkeys(wanted)]
    return [*found, *(engine for name, engine in measured.items() if name not in wanted)]


def _engine(name: str, rows: list[_Row]) -> ServingEngine:
    own = [row for row in rows if row.engine == name]
    said: dict[str, Any] = {"codecs": load_engine(name).codecs} if name in engine_names() else {}
    for row in own:
        said |= row.model_dump(
            include={"title", "batches", "turns", "pooled", "process_bytes", "codecs"},
            exclude_none=True,
        )
    fields = set(MeasuredRequest.model_fields)
    measured = tuple(MeasuredRequest(**row.model_dump(include=fields)) for row in own)
    return ServingEngine(name=name, measured=measured, **said)


def _list(text: bytes) -> list[Any]:
    found = json.loads(text)
    if not isinstance(found, list) or not found:
        raise ValueError("it is no list of rows")
    return found


def _data() -> Any:
    return files("partitioner.simulation.sizing") / "data"
