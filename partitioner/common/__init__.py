"""What every room may use: units, defaults, files that appear whole, event loops."""
