"""Write the alert rules as a resource of Prometheus's operator, or with --check compare them.

python -m scripts.write_prometheus_rule
python -m scripts.write_prometheus_rule --check
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "docker" / "prometheus" / "alerts.yml"
RESOURCE = ROOT / "deploy" / "kubernetes" / "components" / "monitoring" / "prometheus-rule.yaml"
_HEAD = """\
# Written by `python -m scripts.write_prometheus_rule` from docker/prometheus/alerts.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: splitpoint-cloud
  labels:
    app.kubernetes.io/name: splitpoint-cloud
spec:
"""


def resource(rules: str) -> str:
    """Return the resource with the groups of a file of rules, as they are written there."""
    _, _, groups = rules.partition("\ngroups:\n")
    lines = ["groups:", *groups.splitlines()]
    return _HEAD + "".join(f"  {line}\n" if line else "\n" for line in lines)


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it is stale")
    made = resource(RULES.read_text())
    if not parser.parse_args().check:
        RESOURCE.write_text(made)
    elif RESOURCE.read_text() != made:
        sys.exit(
            f"{RESOURCE} is not what {RULES} says. Run python -m scripts.write_prometheus_rule."
        )


if __name__ == "__main__":
    main()
