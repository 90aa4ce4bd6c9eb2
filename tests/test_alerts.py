"""The alert rules ask for metrics that there are, say what to do, and fire where their unit tests say so."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import ProcessCollector
from pydantic import BaseModel, ConfigDict, Field

from scripts.document_metrics import families, labels_of, name_of

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docker" / "prometheus"
PAGE = (ROOT / "docs" / "operations.md").read_text()
DURATION = r"^(\d+(ms|[smhdwy]))+$"
SCRAPED = ("job", "instance")
WORDS = set("and or unless by without on ignoring group_left group_right offset bool".split())


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Annotations(Document):
    summary: str = Field(min_length=10)
    description: str = Field(min_length=10)
    runbook_url: str = Field(pattern=r"^docs/operations\.md#[a-z-]+$")


class Labels(Document):
    severity: str = Field(pattern=r"^(critical|warning)$")


class Rule(Document):
    alert: str = Field(pattern=r"^Splitpoint[A-Za-z]+$")
    expr: str = Field(min_length=1)
    for_: str = Field(default="0s", alias="for", pattern=DURATION)
    labels: Labels
    annotations: Annotations


class Group(Document):
    name: str
    rules: list[Rule] = Field(min_length=1)


class Rules(Document):
    """What Prometheus reads, as far as these rules use it."""

    groups: list[Group] = Field(min_length=1)

    @property
    def all_of(self) -> list[Rule]:
        return [rule for group in self.groups for rule in group.rules]


RULES = Rules.model_validate(yaml.safe_load((FOLDER / "alerts.yml").read_text()))


def series() -> dict[str, set[str]]:
    """The labels of every series that servers and edges show, and of what Prometheus adds."""
    found: dict[str, set[str]] = {"up": set(SCRAPED)}
    process = ProcessCollector(registry=None).collect()
    for family in [*process, *(one for shown in families().values() for one in shown)]:
        labels = {*labels_of(family), *SCRAPED}
        if family.type == "histogram":
            found[f"{family.name}_bucket"] = {*labels, "le"}
            found |= {f"{family.name}_{part}": labels for part in ("sum", "count")}
        found[name_of(family)] = labels
    return found


def asked(expression: str) -> list[tuple[str, set[str]]]:
    """The metrics that an expression asks for, each with the labels by which it selects."""
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", expression)
    found = re.findall(
        r"\b([a-zA-Z_:][a-zA-Z0-9_:]*)\b *(\{[^}]*\})?(?!\s*\()", re.sub(r"\[[\w:]+\]", "", text)
    )
    names = [(name, selector) for name, selector in found if name not in WORDS]
    return [(name, set(re.findall(r"(\w+) *(?:=~|!~|!=|=)", selector))) for name, selector in names]


def grouped(expression: str) -> set[str]:
    """The labels by which an expression groups and matches."""
    lists = re.findall(r"\b(?:by|on|group_left) *\(([^)]*)\)", expression)
    return {label for each in lists for label in re.findall(r"\w+", each)}


@pytest.mark.parametrize("rule", RULES.all_of, ids=lambda rule: rule.alert)
def test_alert_asks_for_what_there_is_and_says_what_to_do(rule: Rule) -> None:
    there, known = series(), set[str]()
    for name, labels in asked(rule.expr):
        assert name in there, f"no metric {name}"
        assert labels <= there[name], f"{name} has {there[name]}"
        known |= there[name]
    assert known, "it asks for nothing"
    assert grouped(rule.expr) <= known
    shown = re.findall(r"\$labels\.(\w+)", str(rule.annotations))
    assert set(shown) <= known
    anchor = rule.annotations.runbook_url.partition("#")[2]
    assert anchor == rule.alert.lower()
    section = re.search(rf"^### {rule.alert}\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    assert section
    assert re.fullmatch(r"\*\*Cause\*\*: .+\n\*\*Do\*\*: .+", section[1].strip()), "one line each"


def test_reader_of_expressions_sees_what_is_asked() -> None:
    expression = """sum by (job) (rate(made_up_total{code=~"A|B", job="x"}[5m])) > on (job) other offset 6h"""
    assert asked(expression) == [("made_up_total", {"code", "job"}), ("other", set())]


def test_every_alert_has_its_name_once_its_section_and_a_case_in_which_it_fires() -> None:
    names = [rule.alert for rule in RULES.all_of]
    assert len(names) == len(set(names)) >= 30
    assert set(re.findall(r"^### (Splitpoint\w+)", PAGE, re.MULTILINE)) == set(names)
    cases: Any = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())
    assert set(re.findall(r'alertname="(\w+)"', str(cases["tests"]))) == set(names)


def test_page_of_operations_leads_only_to_sections_that_there_are() -> None:
    for page, anchor in re.findall(r"\]\(([\w.]*)#([\w-]+)\)", PAGE):
        text = (ROOT / "docs" / (page or "operations.md")).read_text()
        titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        anchors = {
            re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles
        }
        assert anchor in anchors, f"{page}#{anchor}"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_alerts_fire_as_their_unit_tests_say() -> None:
    for words in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")):
        done = subprocess.run(["promtool", *words], cwd=FOLDER, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
