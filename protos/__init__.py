"""The protocol, on which two machines must agree: schemas, tensors, messages, codecs, errors."""
