"""The service that people write by hand: FastAPI, a body of raw float32, ONNX Runtime on worker threads."""

import asyncio
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response

from benchmarks.convolutions import session
from partitioner.common.memory import keep_freed_pages


def app_of(model: Path, workers: int) -> FastAPI:
    """Return an application that answers POST / with the model's first output, both as raw float32."""
    opened, app = session(model), FastAPI()
    (wanted,) = opened.get_inputs()
    shape = [size if isinstance(size, int) else 1 for size in wanted.shape]
    threads = ThreadPoolExecutor(workers)

    def run(body: bytes) -> bytes:
        values = np.frombuffer(body, np.float32).reshape(shape)
        (output,) = opened.run(None, {wanted.name: values})
        return bytes(output.tobytes())

    async def infer(request: Request) -> Response:
        body = await request.body()
        answer = await asyncio.get_running_loop().run_in_executor(threads, run, body)
        return Response(answer, media_type="application/octet-stream")

    app.add_api_route("/", infer, methods=["POST"])
    return app


def serve(model: Path, workers: int) -> None:
    """Serve on a free port, which is the first line that it prints; with uvloop, as uvicorn chooses."""
    app, listener = app_of(model, workers), socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    keep_freed_pages()
    serve(Path(sys.argv[1]), int(sys.argv[2]))
