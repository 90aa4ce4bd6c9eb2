"""Which option and exit threshold the next frame takes, and why: pure functions."""
