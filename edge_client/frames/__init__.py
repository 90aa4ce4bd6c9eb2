"""One frame on the device: its inputs, its stages, and its result."""
