"""Messages as bytes: arrays into requests and answers, their framing, and their checksums."""
