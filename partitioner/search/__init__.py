"""The cuts that some link, load or codec makes best: minimum cuts and their lower envelope."""
