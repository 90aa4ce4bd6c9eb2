"""Words for decisions: the cause of a move, the reason for an option, and amounts."""
