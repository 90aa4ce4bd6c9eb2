"""Estimates from traffic: bandwidth and round trip of the link, loads of both machines."""
