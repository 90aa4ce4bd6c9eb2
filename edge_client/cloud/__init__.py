"""The connection to the cloud: greeting, stream, probes, downloads."""
