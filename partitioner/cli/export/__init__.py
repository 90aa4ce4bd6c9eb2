"""The command `splitpoint export`: a bundle for other servers, one file an engine."""
