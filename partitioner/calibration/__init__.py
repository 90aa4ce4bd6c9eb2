"""Ranges by which low-bit codecs quantise a bundle's values, and what each codec then loses."""
