"""Codecs: how the values that cross a cut become bytes, and come back."""
