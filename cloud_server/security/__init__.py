"""Who may do what: devices and their tokens, roles, and limits."""
