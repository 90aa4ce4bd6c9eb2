"""gRPC as both machines use it: channels, addresses, status codes, and the limit on a message."""
