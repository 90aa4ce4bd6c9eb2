# The cloud server. Bundles are mounted, not baked in:
#   docker build -f docker/cloud.Dockerfile -t splitpoint-cloud .
#   docker run -v ./bundles:/bundles:ro -p 50051:50051 splitpoint-cloud
FROM python:3.11-slim

RUN useradd --create-home --uid 10001 splitpoint
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY protos protos
COPY partitioner partitioner
COPY edge_client edge_client
COPY cloud_server cloud_server
COPY splitpoint splitpoint
RUN pip install --no-cache-dir -c constraints.txt '.[cloud]'

USER splitpoint
EXPOSE 50051
# As PID 1 the server handles SIGTERM itself: it drains and exits.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["splitpoint-cloud", "health", "--cloud", "127.0.0.1:50051"]
ENTRYPOINT ["splitpoint-cloud"]
# In the clear, for a private network; docs/security.md tells how to do better.
CMD ["serve", "--bundles", "/bundles", "--listen", "0.0.0.0:50051", "--insecure"]
