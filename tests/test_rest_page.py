"""docs/rest.md: its example is answered by the digits that come with the project."""

import re
import subprocess
import sys
from pathlib import Path

from cloud_server.server import CloudServer
from tests.kit.rest_calls import rest_client

ROOT = Path(__file__).parents[1]
BODY = re.compile(
    r"^python -c '(.+?)' > (\S+)\ncurl -s \S+?(/v2\S+) -d @(\S+)$", re.DOTALL | re.MULTILINE
)


def printed_by(code: str) -> bytes:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout


async def test_example_of_an_inference_by_rest_is_answered() -> None:
    found = BODY.search((ROOT / "docs" / "rest.md").read_text())
    assert found
    code, written, page, read = found.groups()
    assert written == read
    body = printed_by(code)
    bundle = ROOT / "examples" / "digits" / "bundle"
    async with CloudServer(bundle) as server, rest_client(server) as client:
        answer = await client.post(page, content=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"]
