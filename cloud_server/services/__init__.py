"""The gRPC services beside the Open Inference Protocol: bundles, profiles, probes, telemetry."""
