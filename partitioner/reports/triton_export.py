"""What was exported for Triton, as a table and JSON."""

from typing import TYPE_CHECKING, Any

from partitioner.common.units import SIZES, ColumnUnit, format_size, plural
from partitioner.terminal.folding_table import FoldingTable, new_table

if TYPE_CHECKING:  # it needs the extra `onnx`
    from partitioner.exports.triton_repository import ExportedModel, TritonExport


def export_json(made: "TritonExport") -> dict[str, Any]:
    """Return the models of a repository, and the cuts that are not there."""
    return {
        "path": str(made.path),
        "size_bytes": made.size_bytes,
        "models": [
            {
                "name": model.name,
                "cut": model.cut,
                "codec": model.codec,
                "frame_bytes": _frame_bytes(model),
                "batched": not model.why_unbatched,
                "why_unbatched": model.why_unbatched,
            }
            for model in made.models
        ],
        "left_out": made.left_out,
    }


def export_table(made: "TritonExport") -> FoldingTable:
    """Return the cuts of a repository: what a frame sends by each codec, and whether requests are batched."""
    title = f"{plural(len(made.models), 'model')} in {made.path}, {format_size(made.size_bytes)} on disk"
    unit = ColumnUnit.of([_frame_bytes(model) for model in made.models], SIZES)
    codecs = tuple(dict.fromkeys(model.codec for model in made.models))
    headers = (unit.header(codec) for codec in codecs)
    table = new_table(title, "cut", "model", *headers, "batched", left=2)
    for cut in dict.fromkeys(model.cut for model in made.models):
        of_cut = {model.codec: model for model in made.models if model.cut == cut}
        tail = next(iter(of_cut.values()))
        sizes = [unit.write(_frame_bytes(of_cut[c])) if c in of_cut else "" for c in codecs]
        batched = f"no: {tail.why_unbatched}" if tail.why_unbatched else "yes"
        table.add_row(cut, tail.name, *sizes, batched)
    return table


def _frame_bytes(model: "ExportedModel") -> int:
    return sum(spec.nbytes() for spec in model.inputs)
