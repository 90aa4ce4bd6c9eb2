"""Signed bundles: keys, envelopes, what they state of every file, and which releases a device may run."""
