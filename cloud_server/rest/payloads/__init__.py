"""Bodies of inference requests and answers: held, unpacked, parsed, written."""
