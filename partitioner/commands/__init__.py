"""The commands of `splitpoint`, one module each; `partitioner.cli` puts them together."""
