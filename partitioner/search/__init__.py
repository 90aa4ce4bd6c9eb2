"""Searching a model's DAG for the cuts that are best: minimum cuts, and all that any link makes best."""
