"""The certificates that docs/security.md makes are certificates that work."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from protos.rpc.endpoints import Endpoint
from protos.security.channel_security import ChannelSecurity
from protos.security.server_tls import ServerTls
from protos.security.tls_files import TlsFiles
from tests.kit.echo_server import echoing

PAGE = Path(__file__).parents[3] / "docs" / "security.md"


def made_in(folder: Path) -> None:
    _, _, rest = PAGE.read_text().partition("### Certificates to develop with")
    commands = rest.split("```")[1]
    assert len(commands.strip().splitlines()) == 5
    subprocess.run(["sh", "-e", "-c", commands], cwd=folder, check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
async def test_five_lines_of_the_docs_make_a_server_and_a_device(tmp_path: Path) -> None:
    made_in(tmp_path)
    ca = tmp_path / "ca.crt"
    server = ServerTls(TlsFiles(tmp_path / "cloud.crt", tmp_path / "cloud.key", ca))
    device = TlsFiles(tmp_path / "camera.crt", tmp_path / "camera.key", ca)
    async with echoing(server.credentials()) as address:
        for host in ("localhost", "127.0.0.1"):
            where = f"{host}:{address.rpartition(':')[2]}"
            async with Endpoint(where, ChannelSecurity(files=device)).open_async() as channel:
                assert await channel.unary_unary("/a/one")(b"1", timeout=5) == b"1"
    assert isinstance(server.context(), ssl.SSLContext)
