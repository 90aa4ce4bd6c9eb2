"""Flags that several commands share: groups of them, and the function that reads each."""
