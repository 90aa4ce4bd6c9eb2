"""A link, and a link over time."""
