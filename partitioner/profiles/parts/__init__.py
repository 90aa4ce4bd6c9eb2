"""Profilers of the parts of a bundle: its cuts, codecs and nodes."""
