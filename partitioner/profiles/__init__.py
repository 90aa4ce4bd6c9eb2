"""What a machine measured of a bundle: seconds of heads, tails and nodes, bytes, memory."""
