"""How many machines a fleet needs behind each serving engine, and what they cost."""
