"""What every room may use: units, settings, defaults, files that appear whole, event loops."""
