"""The server in the data centre: it serves tails by the Open Inference Protocol."""
