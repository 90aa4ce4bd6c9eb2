"""The folder that both machines load: manifest, graphs, weights, heads, exits, calibration."""
