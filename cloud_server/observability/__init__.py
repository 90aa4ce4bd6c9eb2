"""What a server tells of itself and of its edges: metrics and telemetry."""
