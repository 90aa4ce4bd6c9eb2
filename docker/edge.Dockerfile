# The edge: neither torch nor onnx nor fastapi nor matplotlib. Bundle and frames are mounted:
#   docker build -f docker/edge.Dockerfile -t splitpoint-edge .
#   docker run -v ./bundle:/bundle:ro -v ./frames:/frames:ro splitpoint-edge \
#       run --cloud 10.0.0.5:50051 --bundle /bundle --source /frames
FROM python:3.11-slim

RUN useradd --create-home --uid 10001 splitpoint
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY protos protos
COPY partitioner partitioner
COPY edge_client edge_client
COPY cloud_server cloud_server
COPY splitpoint splitpoint
RUN pip install --no-cache-dir -c constraints.txt .

USER splitpoint
STOPSIGNAL SIGTERM
# Every result renews the file; an edge that has not answered a frame for half a minute is unhealthy.
ENV SPLITPOINT_EDGE_HEARTBEAT=/tmp/heartbeat
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import os, sys, time; sys.exit(time.time() - os.path.getmtime('/tmp/heartbeat') > 30)"]
ENTRYPOINT ["splitpoint-edge"]
CMD ["run", "--help"]
