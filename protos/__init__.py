"""What two machines must agree on: schemas and stubs, tensors and messages, codecs, errors."""
