"""Sweeps, traces and fleets in a sentence, in tables, JSON and CSV."""
