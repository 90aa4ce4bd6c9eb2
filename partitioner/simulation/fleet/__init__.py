"""Many devices on shared uplinks and one cloud, on one clock."""
