"""The connection to the cloud: greeting, stream, circuit breaker, probes, downloads."""
