"""The command `splitpoint-edge`: flags in, records, remarks and a summary out."""
