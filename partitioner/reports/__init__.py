"""Findings as tables, JSON, CSV and pictures."""
