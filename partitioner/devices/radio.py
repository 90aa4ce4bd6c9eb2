"""A radio: joules a byte, while it is awake, and in its tail; its numbers are data with sources."""

import math

from pydantic import Field

from partitioner.common.frozen_model import FrozenModel
from partitioner.devices.citation import Citation

_J_PER_BYTE = 8e-6
"""A slope of 1 W per Mbit/s is 1 J per Mbit, and a byte is 8e-6 Mbit."""


class Radio(FrozenModel):
    """A radio's power, linear in the throughput (J. Huang et al., MobiSys 2012, section 5.3).

    P = slope * throughput + active_w while it sends or receives; tail_w for up to tail_s afterwards.
    """

    name: str = ""
    title: str
    upload_w_per_mbps: float = Field(ge=0)
    download_w_per_mbps: float = Field(ge=0)
    active_w: float = Field(ge=0)
    tail_w: float = Field(default=0.0, ge=0)
    tail_s: float = Field(default=0.0, ge=0)
    sources: tuple[Citation, ...] = ()

    def frame_j(
        self,
        network_s: float,
        cloud_s: float,
        upload_bytes: float,
        download_bytes: float,
        fps: float | None,
    ) -> float:
        """Return the joules of one frame: of its bytes, of the radio awake for it, and of its tail.

        The next frame cuts the tail short, if there is one, `fps` times a second.
        """
        if upload_bytes == 0 and download_bytes == 0:
            return 0.0  # nothing crosses: the radio sleeps
        carried = self.upload_w_per_mbps * upload_bytes + self.download_w_per_mbps * download_bytes
        quiet_s = math.inf if fps is None else max(cloud_s, 1 / fps - network_s)
        tail_j = self.tail_w * min(quiet_s, self.tail_s)
        return _J_PER_BYTE * carried + self.active_w * network_s + tail_j
