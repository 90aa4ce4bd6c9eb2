"""Estimates from traffic: the link, the loads of both machines, and whether the cloud can be asked at all."""
