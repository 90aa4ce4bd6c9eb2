"""The models that are served: bundles, their versions, and the tails that are kept in memory."""
