"""What to do about profiles that were measured with another calibration than the bundle has now."""

from partitioner.bundle.bundle import Bundle
from partitioner.planning.plan import Plan, stale_profiles
from partitioner.profiles.profile import Profile

_RESTART = "restart the server with calibration.npz of this bundle in its copy"


def stale_sides(plan: Plan) -> list[str]:
    """Return the sides without the bundle's calibration, for which a plan leaves q2 to q6 out."""
    if plan.bundle.calibration is None:
        return []
    return stale_profiles(plan.bundle, plan.edge, plan.cloud)


def stale_text(plan: Plan) -> str | None:
    """Say why a plan leaves q2 to q6 out, and what to run; None: both sides know the calibration."""
    stale = stale_sides(plan)
    if not stale:
        return None
    assumed = plan.cloud.measured_at == plan.edge.measured_at
    again = f"splitpoint profile {plan.bundle.path}"
    if "cloud" in stale and not assumed:
        again = f"{again} --cloud HOST:PORT"
        remedy = f"{_RESTART} (a running one keeps the old calibration), then run: {again}"
    else:
        remedy = f"run: {again}"
    return (
        f"q2 to q6 are left out, as the {' and the '.join(stale)} did not have this calibration "
        f"when measured; {remedy}"
    )


def server_text(bundle: Bundle, cloud: Profile, address: str) -> str | None:
    """Say that the server at `address` measured with another calibration than `bundle` has, and what to
    do before it is measured again; None: it has the same, or both have none."""
    ours = bundle.ranges.digest if bundle.ranges else ""
    if cloud.calibration_digest == ours:
        return None
    if not ours:
        return (
            f"the server at {address} has a calibration that this bundle lacks, so q2 to q6 are not "
            f"planned: put its calibration.npz into {bundle.path}, then profile again"
        )
    has = "another calibration than this bundle" if cloud.calibration_digest else "no calibration"
    return (
        f"the server at {address} has {has}, so a plan leaves q2 to q6 out: {_RESTART} "
        "(a running one keeps what it began with), then profile again"
    )
