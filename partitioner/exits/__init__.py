"""Early exits: the features they read, how they are trained and judged, and their ladder of thresholds."""
