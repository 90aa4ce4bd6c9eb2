"""Telemetry of the edge: its health, metrics, and reports to the cloud."""
