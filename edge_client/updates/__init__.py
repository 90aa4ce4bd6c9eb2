"""Updates: another version of the bundle is learnt of, fetched beside the frames, checked, tried and kept."""
