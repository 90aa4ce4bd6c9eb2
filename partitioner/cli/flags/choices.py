"""What completion offers: names that are known without opening a bundle."""

from collections.abc import Iterable


def codecs() -> Iterable[str]:
    """Yield the codecs by name; image codecs take a quality too, as jpeg-90."""
    from protos.codecs.registry import codec_names

    return codec_names()


def plain_codecs() -> Iterable[str]:
    """Return the codecs that a graph can decode, so that standard servers take them."""
    from protos.codecs.plain_tensors import PLAIN_CODECS

    return PLAIN_CODECS


def backends() -> Iterable[str]:
    """Return the backends of Triton that exports are for."""
    from partitioner.exports.triton_config import BACKENDS

    return BACKENDS


def metrics() -> Iterable[str]:
    """Return what can be minimised."""
    from partitioner.planning.metrics import METRICS

    return METRICS


def devices() -> Iterable[str]:
    """Return the devices that come with Splitpoint."""
    from partitioner.devices.device import device_names

    return device_names()


def radios() -> Iterable[str]:
    """Return the radios that come with Splitpoint."""
    from partitioner.devices.device import radio_names

    return radio_names()


def providers() -> Iterable[str]:
    """Return the execution providers that the runtime here was built with."""
    from partitioner.runtime.silent_runtime import onnxruntime

    return list(onnxruntime.get_available_providers())
