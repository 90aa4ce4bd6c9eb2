"""The command `splitpoint-edge serve`: its flags."""

from edge_client.cli.choices import FRAME_CHOICES
from edge_client.cli.settings import PROGRAM, LocalServeSettings
from partitioner.common.memory import keep_freed_pages
from partitioner.terminal import console
from partitioner.terminal.settings_flags import takes_settings


@takes_settings(PROGRAM, LocalServeSettings, **FRAME_CHOICES)
def serve(settings: LocalServeSettings, json: console.JsonFlag = False) -> None:
    """Offer the split model to programs on this device, as if it were here, until SIGTERM or Ctrl-C.

    They speak the Open Inference Protocol over gRPC (KServe's and Triton's); all share one stream to the
    cloud. The parameters of an answer say who served it, why, and how long each stage took. Settings may
    come from the environment or a file, as for run. With --json, a line on stdout says when it is ready,
    each frame is a line, and the summary the last one.

    Example: splitpoint-edge serve --cloud 10.0.0.2:50051 --bundle digits --listen 127.0.0.1:8001
    """
    keep_freed_pages()
    from edge_client.cli.serve_loop import serve_model

    serve_model(settings, as_json=json)
