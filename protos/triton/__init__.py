"""Triton's extensions of the protocol that need no state: how models are served, and what is not offered."""
