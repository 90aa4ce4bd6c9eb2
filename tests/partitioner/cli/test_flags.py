"""Flags that commands share: one meaning, one message, and help and completion alike in all of them."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from typer import Context
from typer.main import get_command
from typer.testing import CliRunner

from cloud_server.cli.main import app as cloud
from edge_client.cli.main import app as edge
from partitioner.cli.flags.arguments import split_cuts
from partitioner.cli.flags.link import LinkFlags
from partitioner.cli.main import app
from partitioner.network.link import Link
from partitioner.network.step_function import Steps
from partitioner.network.trace import Trace
from partitioner.settings import panels
from partitioner.terminal.app import new_app
from partitioner.terminal.flags import flag, spread
from protos.errors import UsageError

PANELS = {"Arguments", "Options", "Commands"} | {
    text for name, text in vars(panels).items() if name.isupper()
}


def commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the commands of a program, with the words that call each."""
    if not hasattr(command, "commands"):
        yield name.strip(), command
        return
    context = Context(command)
    for word in command.list_commands(context):
        yield from commands(command.get_command(context, word), f"{name} {word}")


OURS = [("splitpoint", app, name) for name, _ in commands(get_command(app))]
OURS += [("splitpoint-edge", edge, name) for name, _ in commands(get_command(edge))]
OURS += [("splitpoint-cloud", cloud, name) for name, _ in commands(get_command(cloud))]


def test_link_is_read_from_one_flag_or_from_three() -> None:
    separate = LinkFlags(bandwidth="10mbit", down="50mbit", rtt="20ms")
    assert LinkFlags(link="10mbit/50mbit,20ms").read() == separate.read() == Link(1e7, 5e7, 0.02)
    assert LinkFlags(bandwidth="10mbit", rtt="20ms").read() == Link(1e7, 1e7, 0.02)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (LinkFlags(), "a link is missing. Give it as --link 10mbit,20ms"),
        (LinkFlags(down="5mbit"), "a link is missing"),
        (LinkFlags(bandwidth="5mbit"), "--rtt is missing"),
        (LinkFlags(rtt="5ms", down="5mbit"), "--bandwidth is missing"),
        (LinkFlags("5mbit,5ms", rtt="5ms"), "--link and --rtt exclude each other"),
        (LinkFlags("5mbit,5ms", "1mbit", "1mbit"), "--link and --bandwidth, --down exclude"),
        (LinkFlags("5mbit"), "'5mbit' is no link. Write UPLINK,RTT"),
        (LinkFlags("5mbit,20ms,3"), "'5mbit,20ms,3' is no link. Write UPLINK,RTT"),
    ],
)
def test_link_that_is_not_whole_or_said_twice_is_answered(flags: LinkFlags, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        flags.read()


def test_trace_says_the_uplink_and_the_flags_the_rest() -> None:
    bare = Trace("tram", Steps([0.0], [2e6], 1.0))
    same = LinkFlags(rtt="20ms").fill(bare)
    assert same.mean_link() == Link(2e6, 2e6, 0.02)
    assert LinkFlags("9mbit/5mbit,20ms").fill(bare).mean_link() == Link(2e6, 5e6, 0.02)
    with pytest.raises(UsageError, match="--rtt is missing, and tram says no round trip"):
        LinkFlags(down="5mbit").fill(bare)


def test_trace_that_says_its_round_trip_needs_none_besides_and_keeps_it() -> None:
    whole = Trace("tram", *(Steps([0.0], [value], 1.0) for value in (2e6, 3e6, 0.04)))
    for flags in (LinkFlags(), LinkFlags(rtt="9ms"), LinkFlags("9mbit/5mbit,20ms")):
        assert flags.fill(whole).mean_link() == Link(2e6, 3e6, 0.04)


def test_link_replaces_what_a_command_usually_takes() -> None:
    usual = LinkFlags(bandwidth="1mbit:9mbit:3", rtt="5ms")
    given = LinkFlags("2mbit:4mbit:2/8mbit,1ms", bandwidth="1mbit:9mbit:3", rtt="5ms")
    assert given.texts(usual) == ("2mbit:4mbit:2", "8mbit", "1ms")
    assert usual.texts(usual) == ("1mbit:9mbit:3", None, "5ms")


@dataclass(frozen=True)
class Group:
    size: Annotated[int, flag("How many.", "N")]
    kind: Annotated[str, flag("Which.", "KIND", choices=lambda: ("one", "other"))] = "one"


def test_command_gets_its_group_from_the_flags() -> None:
    program, heard = new_app(), []

    @program.command()
    def one(group: Group, more: bool = False) -> None:
        heard.append((group, more))

    @program.command()
    def other(group: Group = Group(5, "two")) -> None:
        heard.append(group)

    program(["one", "--size", "3", "--more"], standalone_mode=False)
    program(["other", "--kind", "x"], standalone_mode=False)
    assert heard == [(Group(3), True), Group(5, "x")]
    assert CliRunner().invoke(program, ["one"]).exit_code == 2  # --size is missing


def test_command_without_groups_is_left_alone() -> None:
    def plain(name: str) -> None:
        del name

    assert spread(plain) is plain


@pytest.mark.parametrize(("program", "root", "name"), OURS)
def test_every_help_has_an_example_words_for_values_and_known_panels(
    program: str, root: Any, name: str
) -> None:
    done = CliRunner().invoke(root, [*name.split(), "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert re.search(rf"Example: (sudo )?{program} {name}", done.stdout)
    assert not re.search(
        r"<(bool|str|int|float|path|list)|\b(TEXT|FLOAT|INTEGER|PATH)\b", done.stdout
    )
    assert set(re.findall(r"╭─ (.+?) ─", done.stdout)) <= PANELS


def test_flag_that_takes_a_value_in_one_command_is_a_switch_in_none() -> None:
    kinds: dict[str, set[bool]] = {}
    for root in (app, edge, cloud):
        for _, command in commands(get_command(root)):
            for one in command.params:
                for word in one.opts:
                    kinds.setdefault(word, set()).add(getattr(one, "is_flag", False))
    assert [word for word, found in kinds.items() if len(found) > 1] == []


def test_end_of_a_trace_and_address_of_the_server_have_one_word_each() -> None:
    words = {
        f"{program} {name}": {
            flag.opts[0]: flag.metavar for flag in dict(commands(get_command(root)))[name].params
        }
        for program, root, name in OURS
    }
    for one in ("splitpoint-edge link", "splitpoint simulate trace"):
        assert words[one]["--at-end"] == "END"
    for one in ("splitpoint-edge run", "splitpoint-edge probe", "splitpoint-cloud health"):
        assert words[one]["--cloud"] == "HOST:PORT"
    assert not any({"--address", "--trace-end"} & found.keys() for found in words.values())


@pytest.mark.parametrize(
    ("program", "module"),
    [
        ("splitpoint", "partitioner.cli.main"),
        ("splitpoint-edge", "edge_client.cli.main"),
        ("splitpoint-cloud", "cloud_server.cli.main"),
    ],
)
def test_every_program_completes(program: str, module: str) -> None:
    def completed(words: str) -> list[str]:
        line = f"{program} {words}"
        variables = {
            f"_{program.upper().replace('-', '_')}_COMPLETE": "complete_bash",
            "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1),
        }  # fmt: skip
        code = f"import sys; sys.argv[0] = {program!r}; from {module} import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **variables},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.split()

    words = {
        "splitpoint": [
            ("pl", "plan"), ("plan b --ba", "--bandwidth"), ("plan b --codec jp", "jpeg"),
            ("plan b --minimize en", "energy"), ("simulate fleet b --device ras", "raspberry-pi-4"),
        ],
        "splitpoint-edge": [("pr", "probe"), ("link --down 1mbit --bl", "--blackout")],
        "splitpoint-cloud": [("se", "serve"), ("health --cl", "--cloud")],
    }  # fmt: skip
    for typed, wanted in words[program]:
        assert wanted in completed(typed), typed


def test_completion_can_be_installed_for_all_programs() -> None:
    for root in (app, edge, cloud):
        shown = CliRunner().invoke(root, ["--help"], env={"COLUMNS": "120"}).stdout
        assert "--install-completion" in shown
        assert "--show-completion" in shown


@pytest.mark.parametrize(
    ("root", "words", "said"),
    [
        (app, "plan x --edge-scale abc", "--edge-scale is wrong: 'abc' should be a number."),
        (edge, "run --slow fast", "--slow is wrong: 'fast' should be a number."),
        (app, "tiers x --exit-threshold 3", "No such option: --exit-threshold"),
        (app, "plan x --exit-threshold 3", "'3' should be less than or equal to 1."),
        (app, "plan", "Missing argument 'BUNDLE'."),
        (app, "plan x y", "Got unexpected extra argument"),
        (app, "plan x --link", "Option '--link' requires an argument."),
        (app, "simulate trec", "No such command 'trec'. Did you mean 'trace'?"),
        (cloud, "heal", "No such command 'heal'."),
    ],
)
def test_refused_command_line_is_an_error_in_one_line_as_all_others(
    root: Any, words: str, said: str
) -> None:
    done = CliRunner().invoke(root, words.split(), env={"COLUMNS": "40"})
    assert done.exit_code == UsageError.exit_status
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_command_group_without_words_shows_its_help() -> None:
    done = CliRunner().invoke(app, ["simulate"])
    assert "Usage:" in done.output
    assert "error" not in done.stderr


def test_list_of_cuts_has_blanks_and_repeats_as_people_write_them() -> None:
    assert split_cuts("cut-04, cut-11,cut-04,") == ("cut-04", "cut-11")
    assert split_cuts(None) == split_cuts("") == ()
