"""What every option costs on one link, and which is the best within limits; pure functions."""
