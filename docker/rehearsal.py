"""Run a side once while its image is built: that shows that nothing is missing, and leaves byte code.

python3 docker/rehearsal.py edge --byte-code FOLDER

The byte code is of what was loaded, Python's own modules included, and holds whatever becomes of times of
files in images: the image can then start fast from a file system that it cannot write to.
"""

import argparse
import json
import os
import py_compile
import subprocess
import sys
import urllib.request
from pathlib import Path

BUNDLE, FRAME = "examples/digits/bundle", "frame-000.jpg"
NOBODY = "127.0.0.1:1"
"""An address at which no server listens."""
PATIENCE_S = 300
"""For anything; an emulated machine is slow."""


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=("edge", "cloud"))
    parser.add_argument("--byte-code", type=Path, required=True)
    arguments = parser.parse_args()
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(arguments.byte_code)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if arguments.side == "edge":
        rehearse_edge(environment)
    else:
        rehearse_cloud(environment)
    print(f"{settle(arguments.byte_code)} modules were loaded")


def rehearse_edge(environment: dict[str, str]) -> None:
    """Finish a frame whose cloud is away, with the head, the codec, the stream and the tail."""
    run(environment, "splitpoint-edge", "link", "--help")
    record = run_frame(environment, NOBODY, "--telemetry", "10s", "--metrics", "127.0.0.1:0")
    expect(record, served_by="edge")


def rehearse_cloud(environment: dict[str, str]) -> None:
    """Serve a frame of an edge, and tell of health and metrics."""
    serve = ["splitpoint-cloud", "serve", "--bundles", BUNDLE, "--json"]
    serve += ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    with subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            ready = json.loads(server.stdout.readline() if server.stdout else "")
            run(environment, "splitpoint-cloud", "health", "--cloud", ready["address"])
            edge = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
            expect(run_frame(edge, ready["address"]), served_by="cloud")
            for page in ("metrics", "v2/models/digits"):
                urllib.request.urlopen(f"http://{ready['http']}/{page}", timeout=PATIENCE_S).close()
        finally:
            server.terminate()
    if server.returncode:
        sys.exit(f"the server ended with status {server.returncode}")


def run_frame(environment: dict[str, str], cloud: str, *more: str) -> dict[str, object]:
    """Run one frame through a low-bit codec, and return its record."""
    edge = ["splitpoint-edge", "run", "--cloud", cloud, "--bundle", BUNDLE, "--source", FRAME]
    edge += ["--cut", "cut-04", "--codec", "q2", "--json", *more]
    record = json.loads(run(environment, *edge).splitlines()[0])
    return dict(record)


def run(environment: dict[str, str], *command: str) -> str:
    """Run a command to its end and return what it printed; end with its words if it fails."""
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, timeout=PATIENCE_S, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with status {done.returncode}")
    return done.stdout


def expect(record: dict[str, object], *, served_by: str) -> None:
    """End the build unless a frame was served by this side."""
    if record["served_by"] != served_by:
        sys.exit(f"the frame was to be served by {served_by}, and it came so: {record}")


def settle(byte_code: Path) -> int:
    """Write all byte code anew without the times of its sources; return how many files that are."""
    files = list(byte_code.rglob("*.pyc"))
    for file in files:
        module = file.name.split(".")[0] + ".py"
        source = Path("/") / file.parent.relative_to(byte_code) / module
        py_compile.compile(
            str(source),
            cfile=str(file),
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    return len(files)


if __name__ == "__main__":
    main()
