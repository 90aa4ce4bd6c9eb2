"""Factories of torch modules: what they return, as a module and tensors that torch can export."""
