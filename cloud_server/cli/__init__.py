"""The command `splitpoint-cloud`: flags and settings in, a server until it is told to stop."""
