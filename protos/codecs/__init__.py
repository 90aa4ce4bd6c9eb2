"""Codecs: they encode the values that cross a cut, and decode them."""
