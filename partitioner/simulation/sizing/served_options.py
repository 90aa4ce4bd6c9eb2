"""The options that an engine can serve: those whose codecs it decodes, with the bytes that they take."""

from dataclasses import replace

from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.simulation.sizing.engine import ServingEngine
from protos.codecs.plain_tensors import plain_codecs
from protos.codecs.registry import get_codec, is_calibrated
from protos.names import EDGE
from protos.wire.messages import plain_request_bytes


def served_plan(plan: Plan, engine: ServingEngine) -> Plan:
    """Return the plan with the options that need no cloud, and those that an engine can serve.

    Without entropy coding low-bit codecs take the bytes of their packed symbols. Their seconds stay those of
    the profiles, which code: they err to the slow side.
    """
    found = (_served(option, plan, engine) for option in plan.options)
    return replace(plan, options=tuple(option for option in found if option))


def _served(option: Option, plan: Plan, engine: ServingEngine) -> Option | None:
    if option.cut == EDGE:
        return option
    if not engine.decodes(option.codec):
        return None
    if engine.inflates or not is_calibrated(option.codec):
        return option
    bundle, frontier = plan.bundle, plan.bundle.cut(option.cut).frontier
    codec = get_codec(option.codec, bundle.ranges)
    if codec not in plain_codecs(frontier, [codec]):
        return None
    sent = plain_request_bytes(bundle.name, option.cut, frontier, codec)
    return replace(
        option,
        upload_bytes=sent,
        network_s=plan.link.predict_s(sent, option.download_bytes),
    )
