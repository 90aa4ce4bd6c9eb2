"""Exits: small classifiers on frontier values that may answer early. Only `training` needs torch and onnx."""
