"""How addresses are read."""

import pytest

from edge_client.cloud.transport import GrpcTransport
from edge_client.relay.relay import Relay
from partitioner.network.link import Link
from protos.errors import UsageError
from protos.rpc.addresses import check_server, split_address


@pytest.mark.parametrize(
    "address", ["here", "a:b:1", "::1:50", "[::1:50", "[a]:1", "[]:1", ":1", "a:-1", "a b:1", "a:١"]
)
def test_address_is_host_and_port_and_nothing_else(address: str) -> None:
    link = Link(1e6, 1e6, 0.0)
    with pytest.raises(UsageError, match=r"to listen on\. Write HOST:PORT"):
        Relay(address, "127.0.0.1:1", link)
    with pytest.raises(UsageError, match=r"to pass on to\. Write HOST:PORT"):
        Relay("127.0.0.1:0", address, link)


def test_address_of_a_server_has_a_port_that_answers() -> None:
    assert check_server("edge.local:50051") == "edge.local:50051"
    assert check_server("unix:/run/splitpoint.sock") == "unix:/run/splitpoint.sock"
    with pytest.raises(UsageError, match=r"'localhost' is no address of a server"):
        GrpcTransport("localhost")
    with pytest.raises(UsageError) as caught:
        check_server("http://127.0.0.1:50051")
    assert "Leave out http:// and any path: write HOST:PORT, such as 10.0.0.2" in str(caught.value)
    assert "any free port" not in str(caught.value)
    with pytest.raises(UsageError, match="port 0, where no server answers"):
        check_server("localhost:0")


def test_address_of_ipv6_stands_in_brackets() -> None:
    assert split_address("[::1]:50051") == ("::1", 50051)
    assert split_address("edge.local:0") == ("edge.local", 0)
    with pytest.raises(UsageError, match="Ports go from 0 to 65535"):
        split_address("a:65536")
