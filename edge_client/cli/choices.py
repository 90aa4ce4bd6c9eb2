"""What several commands of the edge offer: the flag of the cloud, and what completion knows."""

from typing import Annotated

from partitioner.cli.flags import choices
from partitioner.settings.panels import LINK
from partitioner.terminal.flags import flag

Cloud = Annotated[str, flag("The cloud server.", "HOST:PORT", "--cloud", panel=LINK)]

FRAME_CHOICES = {
    "codec": choices.codecs,
    "provider": choices.providers,
    "minimize": choices.metrics,
    "device": choices.devices,
    "radio": choices.radios,
}
