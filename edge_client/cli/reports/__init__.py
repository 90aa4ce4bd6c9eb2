"""What people and programs read of a run: a live line, remarks, JSON lines, a summary, advice."""
