"""How a connection is secured: certificates, keys and tokens, and what may be open to others."""
