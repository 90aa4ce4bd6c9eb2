"""Tails on a Ray cluster: the engine as replicas of Ray Serve, behind its proxies."""
