"""The command `splitpoint-edge probe`: the link, measured."""

from edge_client.cli.choices import Cloud
from partitioner.terminal import console
from partitioner.terminal.connection_flags import secures_connections
from protos.security.channel_security import ChannelSecurity


@secures_connections
def probe(cloud: Cloud, security: ChannelSecurity, json: console.JsonFlag = False) -> None:
    """Measure the link to the server: RTT and both bandwidths, in about two seconds.

    A standard server, such as Triton, tells no downlink.

    Example: splitpoint-edge probe --cloud 10.0.0.2:50051
    """
    from edge_client.cloud.link_measurement import measure_link_to
    from protos.rpc.endpoints import Endpoint

    with console.working("measuring the link"):
        found = measure_link_to(Endpoint(cloud, security))
    if not found.download_bytes:
        console.remark(
            "the server is a standard one, which sends nothing back to measure: the downlink is taken to be "
            "as the uplink is"
        )
    if json:
        console.print_json(
            {
                "uplink_bps": found.link.uplink_bps,
                "downlink_bps": found.link.downlink_bps,
                "rtt_s": found.link.rtt_s,
                "rtt_min_s": found.rtt_min_s,
            }
        )
    else:
        console.screen.print(str(found.link))
