"""What several commands of the edge offer: the flag of the cloud, and what completion knows."""

from pathlib import Path
from typing import Annotated

from edge_client.defaults import STATE_PLACE
from partitioner.cli.flags import choices
from partitioner.settings.panels import LINK, SECURITY
from partitioner.terminal.flags import flag

Cloud = Annotated[str, flag("The cloud server.", "HOST:PORT", "--cloud", panel=LINK)]

State = Annotated[
    Path | None,
    flag(
        "A folder where this device remembers the highest release that it ran of each signed bundle.",
        "FOLDER",
        "--state",
        panel=SECURITY,
        default=STATE_PLACE,
    ),
]

FRAME_CHOICES = {
    "codec": choices.codecs,
    "provider": choices.providers,
    "minimize": choices.metrics,
    "device": choices.devices,
    "radio": choices.radios,
}
