"""The limit on a message's length: both sides refuse a longer one before they decode any of it."""

DEFAULT_MAX_MESSAGE_BYTES = 64 << 20
"""Larger messages are refused by their receiver, before anything is decoded."""


LEAST_MESSAGE_BYTES = 1024
"""A server that takes less cannot even be told what is asked of it."""


def limit_options(max_message_bytes: int) -> list[tuple[str, int]]:
    """Return the options of gRPC by which a receiver refuses messages over `max_message_bytes`.

    What is sent is not bounded here: the other side knows what it takes.
    """
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", -1),
    ]


def is_over_limit(message: str) -> bool:
    """Tell whether `message` is gRPC's own refusal of a message that is too long.

    It comes with RESOURCE_EXHAUSTED, as a busy server's does.
    """
    return "message larger than max" in message
