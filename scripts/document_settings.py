"""Write docs/settings.md from the declarations of the options, or with --check compare it with them.

python -m scripts.document_settings
python -m scripts.document_settings --check
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from cloud_server.cli.settings import PROGRAM as CLOUD
from edge_client.cli.settings import PROGRAM as EDGE
from partitioner.settings.declaration import Declared
from partitioner.settings.loader import Program, told
from partitioner.terminal.settings_flags import default_text

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "settings.md"

INTRODUCTION = """\
# Settings

`splitpoint-edge run` and `serve`, and `splitpoint-cloud serve`, take each setting from a flag, a variable, a
TOML file or its default, in this order. `--show-config` prints what they then are, and ends. All other
commands, `splitpoint` among them, take flags alone; `--log-level` and `--log-format` are flags of every
command.

- A **variable** that begins with `SPLITPOINT_` and is none of a program is an error that names the nearest
  one. A program leaves the variables of the other one alone, and those that Kubernetes or `docker --link` set
  for a service called `splitpoint-cloud` or the like: `…_SERVICE_HOST`, `…_SERVICE_PORT…`, `…_PORT` with an
  address such as `tcp://10.0.0.2:50051`, `…_PORT_50051_TCP…`, `…_NAME` with a path, `…_ENV_…`. An empty
  variable counts as not set.
- A **file** is given by `--config`. Its keys are the flags' names, with `-` or `_`; one that no command of
  the program knows is an error that names the nearest, and so is a setting in both spellings. `run` and
  `serve` may share a file: each leaves to the other what only that one knows.
- **Values** are written as in flags: times as `100ms` or `2min`, sizes as `64MiB` or `500kB`, links as
  `10mbit,20ms` or `10mbit/50mbit,20ms` (up and down), switches as `true` or `false`, and several names with
  commas, or in a file as a list.
- **Python** takes the options of a client and of a server under the same names, with units where the text
  has them: `EdgeClient(cloud="10.0.0.2:50051", bundle="digits", deadline_s=0.1, memory_bytes=500_000_000)`.
  `help(EdgeClient)` and `help(CloudServer)` list them. Neither reads variables or files.

This page is written by `python -m scripts.document_settings` from what the code declares.
"""


def page() -> str:
    """Return the page."""
    return "\n".join(
        [INTRODUCTION, *_program(EDGE, "docs/edge.toml"), *_program(CLOUD, "docs/cloud.toml")]
    )


def _program(program: Program, sample: str) -> Iterator[str]:
    commands = {name: told(kind) for name, kind in program.commands.items()}
    names = list(commands)
    yield f"## {program.name}\n"
    yield f"A sample, [{sample}]({Path(sample).name}):\n"
    yield f"```toml\n{(ROOT / sample).read_text()}```\n"
    shared = [
        one for one in commands[names[0]] if all(one in others for others in commands.values())
    ]
    yield from _tables(program, f"`{'` and `'.join(names)}`", shared)
    for name in names if len(names) > 1 else ():
        own = [one for one in commands[name] if one not in shared]
        yield from _tables(program, f"`{name}` alone", own)


def _tables(program: Program, whose: str, options: Iterable[Declared]) -> Iterator[str]:
    order = list(dict.fromkeys(one.about.panel for one in options))
    ordered = sorted(options, key=lambda one: order.index(one.about.panel))
    yield f"### {whose}\n"
    for panel, rows in groupby(ordered, key=lambda one: one.about.panel):
        yield f"**{panel}**\n"
        yield "| flag | variable | key | value | default | |"
        yield "|---|---|---|---|---|---|"
        yield from (_row(program, one) for one in rows)
        yield ""


def _row(program: Program, one: Declared) -> str:
    default = "needed" if one.required else default_text(one) or "not set"
    cells = (
        "none" if one.is_secret else f"`{one.flag}`",
        f"`{program.variable(one.key)}`",
        "none" if one.is_secret else f"`{one.key.replace('_', '-')}`",
        f"`{one.metavar or 'true|false'}`",
        default,
        one.written_sentence,
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it is stale")
    if not parser.parse_args().check:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        sys.exit("docs/settings.md is stale; run python -m scripts.document_settings")


if __name__ == "__main__":
    main()
