"""Roll-outs: which device is to run which version of a bundle, in shares, and back when it fares worse."""
