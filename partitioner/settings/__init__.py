"""Options, each declared once: how they are written, and how commands are told them."""
