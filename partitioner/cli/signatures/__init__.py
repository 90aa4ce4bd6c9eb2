"""The commands that make keys, signatures and permissions to go back."""
