"""The clients, asynchronous and blocking: frames in, results out, in order."""
