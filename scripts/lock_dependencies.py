"""Write docker/locks anew: what the images are built with, each file of it with its hash.

Needs uv: `make locks` brings it. Versions are those of constraints.txt; what it does not pin is the newest.
"""

import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "docker" / "locks"
CPU, GPU = "onnxruntime", "onnxruntime-gpu[cuda,cudnn]"


def main() -> None:
    """Write all locks."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    edge = project["project"]["dependencies"]
    cloud = edge + project["project"]["optional-dependencies"]["cloud"]
    lock("build", project["build-system"]["requires"])
    for side, needed in (("edge", edge), ("cloud", cloud)):
        lock(f"{side}-cpu", needed)
        lock(f"{side}-gpu", [for_gpu(requirement) for requirement in needed])


def for_gpu(requirement: str) -> str:
    """Take the runtime for GPUs, which has the same modules, in the place of the other one."""
    is_runtime = requirement.startswith(CPU)
    return GPU + requirement.removeprefix(CPU) if is_runtime else requirement


def lock(name: str, requirements: list[str]) -> None:
    """Resolve for every architecture, and write the file."""
    command = ["uv", "pip", "compile", "-", "--quiet", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-annotate", "--constraint", "constraints.txt"]
    command += [
        "--custom-compile-command",
        "make locks",
        "--output-file",
        str(LOCKS / f"{name}.txt"),
    ]
    subprocess.run(command, cwd=ROOT, input="\n".join(requirements), text=True, check=True)


if __name__ == "__main__":
    main()
