"""The body on the device: frames in, head, stream, results out."""
