"""Control: the estimates of a running edge, and the decisions that follow from them."""
