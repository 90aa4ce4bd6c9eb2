"""The command `splitpoint-cloud cluster`: its flags."""

from cloud_server.cli.settings import PROGRAM, ClusterSettings
from partitioner.cli.flags.choices import providers
from partitioner.terminal import console
from partitioner.terminal.settings_flags import takes_settings
from protos.errors import UsageError


@takes_settings(PROGRAM, ClusterSettings, provider=providers)
def cluster(settings: ClusterSettings, json: console.JsonFlag = False) -> None:
    """Serve tails by replicas on a Ray cluster, behind the gRPC proxies of Ray Serve.

    Every node needs splitpoint[ray] and the bundles, in a folder of the same name; put another version into
    it, and the replicas of that node serve it, none restarted. Once a replica answers, the command ends, and
    the tails stay; called again, it renews the replicas one after another with the options of then. With
    --ray local it starts a cluster of this machine and serves until SIGTERM or Ctrl-C. The proxies of Serve
    speak no TLS, ask nobody who he is, and listen at all addresses: see docs/scaling.md.

    Example: splitpoint-cloud cluster --bundles bundles/ --max-replicas 8 --port 50051 --insecure
    """
    if not settings.insecure:
        raise UsageError(
            f"the proxies of Serve listen at port {settings.port} of all addresses of their nodes, without "
            "TLS, and ask nobody who he is. Give `insecure`, where the network keeps others away."
        )
    try:
        from cloud_server.cli.cluster_run import run_cluster
    except ImportError as error:
        raise UsageError(
            f"a cluster needs {error.name}. Install it with: pip install 'splitpoint[ray]'."
        ) from error
    run_cluster(settings, as_json=json)
