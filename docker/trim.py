"""Take out of an environment what its programs never load: tests, headers, what is there twice or for others.

python3 docker/trim.py /opt/splitpoint

The rehearsal that follows in the build shows that nothing is missed.
"""

import shutil
import subprocess
import sys
from pathlib import Path

UNUSED = {
    "onnxruntime/capi/libonnxruntime.so*": "the runtime once more, for programs in C",
    "onnxruntime/backend": "for onnx's own tests",
    "onnxruntime/datasets": "samples",
    "onnxruntime/quantization": "quantises models, with onnx",
    "onnxruntime/tools": "converts models, with onnx and flatbuffers",
    "onnxruntime/transformers": "optimises transformers, with torch and sympy",
    "flatbuffers*": "for onnxruntime/tools",
    "packaging*": "for onnxruntime/transformers",
    "zstandard/_cffi*": "for PyPy",
    "cffi*": "builds bindings; cryptography loads _cffi_backend alone",
    "pycparser*": "for cffi",
    "numpy/distutils": "builds modules",
    "numpy/f2py": "builds modules from Fortran",
    "numpy/polynomial": "for who asks for it; nothing here does",
    "numpy/_core/include": "headers",
    "numpy/_core/lib": "static libraries",
    "PIL/_imagingft*": "draws text, by the next three; there are no fonts either",
    "pillow.libs/libfreetype*": "for _imagingft",
    "pillow.libs/libharfbuzz*": "for _imagingft",
    "pillow.libs/libbrotli*": "for libfreetype",
    "**/tests": "tests",
    "**/*.pyi": "types",
    "**/*.pxd": "types",
    "**/*.h": "headers",
}
"""Patterns below site-packages, and why nothing loads what they match."""
SYMBOLS = ("zstandard/backend_c*.so", "cryptography/**/_rust*.so", "PIL/_imaging.*.so")
"""Libraries of which symbols for a debugger take megabytes."""


def main() -> None:
    """Trim the environment in the folder that the command line names."""
    [packages] = Path(sys.argv[1]).glob("lib/python3*/site-packages")
    before = size_bytes(packages)
    for pattern in UNUSED:
        remove(packages, pattern)
    libraries = [path for pattern in SYMBOLS for path in packages.glob(pattern)]
    subprocess.run(["strip", "--strip-unneeded", *libraries], check=True)
    print(f"{packages}: {before / 1e6:.1f} MB, trimmed to {size_bytes(packages) / 1e6:.1f} MB")


def remove(packages: Path, pattern: str) -> None:
    """Remove all that a pattern matches."""
    for path in sorted(packages.glob(pattern)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)  # it may have gone with a folder above it


def size_bytes(folder: Path) -> int:
    """Return what all files in a folder take."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


if __name__ == "__main__":
    main()
