"""The command `splitpoint-cloud serve`: its flags."""

from cloud_server.cli.settings import PROGRAM, ServeSettings
from partitioner.cli.flags.choices import providers
from partitioner.terminal import console
from partitioner.terminal.settings_flags import takes_settings
from protos.errors import UsageError


@takes_settings(PROGRAM, ServeSettings, provider=providers)
def serve(settings: ServeSettings, json: console.JsonFlag = False) -> None:
    """Serve the whole model and every tail of each bundle, until SIGTERM or Ctrl-C.

    The model is called BUNDLE, a tail BUNDLE.CUT. Folders may hold several versions of one BUNDLE, and come
    and go meanwhile: the folder is watched, and SIGHUP looks at it; docs/versions.md says who gets which.
    Every setting may also come from the environment, as SPLITPOINT_CLOUD_LISTEN and so on, or from --config;
    docs/settings.md lists them. With --json, one JSON line on stdout says when it is ready.

    Example: splitpoint-cloud serve --bundles bundles/ --listen 0.0.0.0:50051 --tls-cert a.crt --tls-key a.key
    """
    try:
        from cloud_server.cli.serve_loop import ready_sentence, run_server
    except ImportError as error:
        raise UsageError(
            f"serving needs {error.name}. Install it with: pip install 'splitpoint[cloud]'."
        ) from error
    if json:
        run_server(settings, lambda ready: console.print_json(ready, indent=None))
    else:
        run_server(settings, lambda ready: console.remark(ready_sentence(ready)))
