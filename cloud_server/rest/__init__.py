"""HTTP: the Open Inference Protocol as REST, health, and metrics."""
