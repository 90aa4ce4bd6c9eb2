"""Generate the stubs of protos/*.proto, or with --check compare them with those committed.

python scripts/generate_stubs.py
python scripts/generate_stubs.py --check
"""

import argparse
import importlib.resources
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_POOL = "_descriptor_pool.Default()"


def generate(out: Path) -> list[Path]:
    """Write the stubs below `out` and return their paths relative to it."""
    sources = sorted(
        path.relative_to(ROOT).as_posix() for path in (ROOT / "protos").glob("*.proto")
    )
    well_known = str(importlib.resources.files("grpc_tools") / "_proto")
    flags = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    if status := protoc.main(["protoc", f"-I{ROOT}", f"-I{well_known}", *flags, *sources]):
        sys.exit(status)
    for module in out.glob("protos/*_pb2.py"):
        text = module.read_text()
        if text.count(DEFAULT_POOL) != 1:
            sys.exit(f"{module.name} does not name the default pool once; mend this script")
        text = text.replace(DEFAULT_POOL, "_POOL")
        head, anchor, tail = text.partition("# @@protoc_insertion_point(imports)")
        module.write_text(f"{head}from protos.pool import POOL as _POOL\n{anchor}{tail}")
    return sorted(path.relative_to(out) for path in out.glob("protos/*_pb2*"))


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if stubs are stale"
    )
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        stubs = generate(out)
        stale = [
            s
            for s in stubs
            if not (ROOT / s).exists() or (ROOT / s).read_text() != (out / s).read_text()
        ]
        if check and stale:
            sys.exit(
                f"stale stubs: {', '.join(map(str, stale))}; run python scripts/generate_stubs.py"
            )
        if not check:
            for stub in stubs:
                (ROOT / stub).write_text((out / stub).read_text())


if __name__ == "__main__":
    main()
