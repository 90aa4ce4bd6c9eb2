"""The client on the device: it runs heads, streams to the cloud, and returns results."""
