"""A link, over time and as traffic shows it."""
