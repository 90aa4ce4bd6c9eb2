"""The tests. What gRPC's core logs to stderr stays away from their output, as from the commands'."""

import os

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # before anything loads gRPC
