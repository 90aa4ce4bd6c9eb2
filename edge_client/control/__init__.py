"""What the edge learns while it runs, and what it decides from that."""
