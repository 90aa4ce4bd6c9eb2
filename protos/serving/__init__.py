"""Serving the Open Inference Protocol: what the cloud and the edge's local server have in common."""
