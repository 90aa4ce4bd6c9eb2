"""docker-compose.yml: what Compose's schema says, and the rules of the house for containers."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from partitioner.network.trace_files import read_trace

ROOT = Path(__file__).parent.parent
FILE = ROOT / "docker-compose.yml"
STACK: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "prometheus"}
EDGES = {
    name: service
    for name, service in OURS.items()
    if "SPLITPOINT_EDGE_CLOUD" in service.get("environment", {})
}
SCRAPED = yaml.safe_load((ROOT / "docker" / "prometheus" / "prometheus.yml").read_text())


def words(service: dict[str, Any]) -> list[str]:
    """Return the program's words, whether the image or the service names the program."""
    return [str(word) for word in service.get("command", [])]


def test_file_is_as_the_specification_of_compose_has_it() -> None:
    check = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        str(FILE),
    ]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_service_may_do_no_more_than_it_has_to(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "pid", "network_mode", "ipc"} & service.keys()
    assert service["user" if name == "prometheus" else "image"]
    assert not [
        text
        for text in service.get("volumes", [])
        if text.startswith((".", "$")) and not text.endswith(":ro")
    ]


@pytest.mark.parametrize("name", SERVICES)
def test_service_takes_no_more_than_its_share_and_stops_trying(name: str) -> None:
    service = SERVICES[name]
    assert {"cpus", "mem_limit", "pids_limit"} <= service.keys()
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert re.fullmatch(r"on-failure:\d+", service["restart"])


def test_nothing_is_fixed_that_a_second_stack_would_collide_with() -> None:
    assert "networks" not in STACK
    for service in SERVICES.values():
        assert not {"container_name", "networks", "mac_address", "hostname"} & service.keys()
        for port in service.get("ports", []):
            assert re.fullmatch(r"\$\{STACK_[A-Z]+:-127\.0\.0\.1:\d+\}:\d+", port)


def test_cloud_and_edge_alone_come_without_a_profile_and_no_edge_waits_for_its_cloud() -> None:
    assert [name for name, service in SERVICES.items() if "profiles" not in service] == [
        "cloud",
        "edge",
    ]
    assert not [name for name, service in SERVICES.items() if "depends_on" in service]
    counts = dict.fromkeys(("demo", "fleet", "observability"), 0)
    for name in EDGES.keys() - {"edge"}:
        [profile] = EDGES[name]["profiles"]
        counts[profile] += 1
        link, _, port = EDGES[name]["environment"]["SPLITPOINT_EDGE_CLOUD"].partition(":")
        assert SERVICES[link]["profiles"] == [profile]
        assert f"--listen=0.0.0.0:{port}" in words(SERVICES[link])
        assert "--to=cloud:50051" in words(SERVICES[link])
    assert counts == {"demo": 1, "fleet": 3, "observability": 0}


@pytest.mark.parametrize("name", EDGES)
def test_edge_speaks_mutual_tls_and_chooses_its_cut(name: str) -> None:
    edge = EDGES[name]
    assert "--cut=auto" in words(edge)
    files = {
        f"/run/secrets/{each if isinstance(each, str) else each['target']}"
        for each in edge["secrets"]
    }
    for variable in ("CA", "CERT", "KEY"):
        assert edge["environment"][f"SPLITPOINT_EDGE_TLS_{variable}"] in files
    assert {"--tls-cert=/run/secrets/cloud.crt", "--tls-client-ca=/run/secrets/ca.crt"} <= set(
        words(SERVICES["cloud"])
    )


def test_settings_of_the_services_are_those_of_the_programs() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    for service in OURS.values():
        for variable in service.get("environment", {}):
            assert f"`{variable}`" in page
        if words(service)[0] != "link":
            for word in words(service):
                flag = word.partition("=")[0]
                assert flag in ("serve", "--json") or f"`{flag}`" in page


def start_edge(home: Path, seed: Path) -> subprocess.CompletedProcess[str]:
    """Run an edge's entrypoint in a home of its own, where the program says its words and its bundle."""
    program = home / "bin" / "splitpoint-edge"
    program.parent.mkdir(exist_ok=True)
    program.write_text('#!/bin/sh\necho "$@"; cat digits/bundle.json\n')
    program.chmod(0o755)
    words = [
        word.replace("$$", "$").replace("/seed", str(seed)) for word in EDGES["edge"]["entrypoint"]
    ]
    path = {"PATH": f"{program.parent}:/usr/bin:/bin"}
    return subprocess.run(
        [*words, "--json"], cwd=home, env=path, capture_output=True, text=True, check=False
    )


def test_edge_starts_with_the_bundle_that_it_is_given_and_then_keeps_its_own(
    tmp_path: Path,
) -> None:
    seed, home = tmp_path / "seed", tmp_path / "home"
    seed.mkdir()
    home.mkdir()
    (seed / "bundle.json").write_text("first")
    assert start_edge(home, seed).stdout == "run --json\nfirst"
    (home / "digits" / "bundle.json").write_text("fetched since")
    assert start_edge(home, seed).stdout == "run --json\nfetched since"


def test_edge_without_a_bundle_to_start_with_says_so_and_starts_once_there_is_one(
    tmp_path: Path,
) -> None:
    seed, home = tmp_path / "seed", tmp_path / "home"
    home.mkdir()
    refused = start_edge(home, seed)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert str(seed) in refused.stderr.splitlines()[-1]
    seed.mkdir()
    (seed / "bundle.json").write_text("first")
    assert start_edge(home, seed).stdout == "run --json\nfirst"


def test_secrets_are_files_that_the_script_makes() -> None:
    script = (ROOT / "docker" / "certificates.sh").read_text()
    [devices] = re.findall(r"set -- (.*)$", script, re.MULTILINE)
    made = {
        "ca.crt",
        *(f"{name}.{end}" for name in ("cloud", *devices.split()) for end in ("crt", "key")),
    }
    assert STACK["secrets"].keys() == made
    for name, secret in STACK["secrets"].items():
        assert secret == {"file": f"${{STACK_SECRETS:-./docker/secrets}}/{name}"}
    used = [each for service in SERVICES.values() for each in service.get("secrets", [])]
    assert {each if isinstance(each, str) else each["source"] for each in used} == made


@pytest.mark.slow
def test_certificates_of_an_authority_that_is_gone_are_made_anew(tmp_path: Path) -> None:
    script = tmp_path / "docker" / "certificates.sh"
    secrets = tmp_path / "docker" / "secrets"
    script.parent.mkdir()
    script.write_bytes((ROOT / "docker" / "certificates.sh").read_bytes())
    (tmp_path / ".env").write_text("STACK_SLOW=5")  # without an end of the line

    def made() -> dict[str, bytes]:
        subprocess.run(["sh", script, "cam"], check=True, stdout=subprocess.DEVNULL)
        return {path.name: path.read_bytes() for path in secrets.iterdir()}

    first = made()
    assert made() == first
    for path in secrets.glob("ca.*"):
        path.unlink()
    assert not {*made().values()} & {*first.values()}
    for name in ("cloud.crt", "cam.crt"):
        verify = ["openssl", "verify", "-CAfile", secrets / "ca.crt", secrets / name]
        assert subprocess.run(verify, check=False, capture_output=True).returncode == 0
    assert not {path.stat().st_mode & 0o007 for path in secrets.glob("*.key")} - {0}
    lines = (tmp_path / ".env").read_text().splitlines()
    assert lines[0] == "STACK_SLOW=5"
    assert all(line.startswith("STACK_GROUP=") for line in lines[1:])


def test_servers_certificate_has_every_name_by_which_it_is_asked() -> None:
    script = (ROOT / "docker" / "certificates.sh").read_text()
    named = set(re.findall(r"(?:DNS|IP):([\w.-]+)", script))
    asked = {
        edge["environment"]["SPLITPOINT_EDGE_CLOUD"].partition(":")[0] for edge in EDGES.values()
    }
    assert asked | {"localhost", "127.0.0.1"} <= named


def test_link_of_the_demo_falls_to_a_megabit_and_recovers() -> None:
    played = read_trace(ROOT / "docker" / "falling.txt", at_end="loop")
    rates = [played.uplink_bps_at(second) for second in range(int(played.duration_s) + 1)]
    assert min(rates) == 1e6
    assert rates[0] == rates[-1] == 20e6


def test_prometheus_looks_at_every_side() -> None:
    jobs = {job["job_name"]: job for job in SCRAPED["scrape_configs"]}
    [cloud] = jobs["splitpoint-cloud"]["dns_sd_configs"]
    [edge] = jobs["splitpoint-edge"]["dns_sd_configs"]
    assert (cloud["names"], f"--http=0.0.0.0:{cloud['port']}" in words(SERVICES["cloud"])) == (
        ["cloud"],
        True,
    )
    assert set(edge["names"]) == EDGES.keys()
    for service in EDGES.values():
        assert service["environment"]["SPLITPOINT_EDGE_METRICS"] == f"0.0.0.0:{edge['port']}"
