"""Conditions: what was seen of the link and of both machines."""

from dataclasses import dataclass, field

from partitioner.estimators.experience import NO_LESSONS, Lessons
from partitioner.estimators.link_estimate import LinkEstimate
from partitioner.policy.power_rules import NO_POWER_DEMAND, PowerDemand

CLOUD_AWAY = "the cloud is away"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What was seen of the link and of both machines."""

    link: LinkEstimate
    edge_load: float = 1.0
    """Measured over profiled time on the device, as others cause it."""
    cloud_load: float = 1.0
    cloud_queue_s: float = 0.0
    """What a request waits for a worker of the cloud."""
    cloud_reachable: bool = True
    frame_period_s: float | None = None
    """Seconds between frames; 0: as fast as they are taken; None: one at a time, so that none waits."""
    power_demand: PowerDemand = NO_POWER_DEMAND
    """What battery and heat ask for."""
    device_paced: bool = False
    """Frames are taken when the device is free, so that none waits for it."""
    message_under_way: bool = False
    """A message has no answer yet, which will tell of the link what a look would."""
    cloud_late: bool = False
    """Where the cloud is not reachable: it answers, and too late."""
    cloud_away: str = CLOUD_AWAY
    """Where it is not reachable for another reason: which, as a clause."""
    own_load: float = 1.0
    """So many times as long again the device takes while other frames of its own are beyond it."""
    cloud_workers: int = 1
    """So many frames the cloud serves at the same time."""
    lessons: Lessons = field(default=NO_LESSONS, repr=False)
    """What frames of each option, and moves, have really brought."""

    @property
    def absence(self) -> str:
        """Why nothing crosses, in words."""
        return "the cloud answers too late" if self.cloud_late else self.cloud_away

    @property
    def comeback(self) -> str:
        """That something may cross again, in words, after these conditions."""
        if self.cloud_late:
            return "the cloud is tried again"
        return (
            "the cloud is back" if self.cloud_away == CLOUD_AWAY else "the cloud can be used again"
        )
