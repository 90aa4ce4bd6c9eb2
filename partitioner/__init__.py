"""The brain: graphs, cuts, profiles, costs and plans, as pure functions over plain data."""
