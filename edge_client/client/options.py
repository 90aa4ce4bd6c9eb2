"""Every option of a client, declared once: both clients, the settings, the flags and the docs follow.

Light, so that `--help` can read it: the types of what only a program gives are not loaded here.
"""

from dataclasses import KW_ONLY, dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from edge_client import defaults
from partitioner.common.defaults import (
    DEFAULT_ACCURACY_DROP,
    DEFAULT_PROVIDER,
    DEFAULT_TIMEOUT_S,
    DEFAULT_WINDOW,
    ExitThreshold,
)
from partitioner.common.progress import OnProgress, unheard
from partitioner.common.units import parse_duration
from partitioner.network.link import Link
from partitioner.settings.connection_options import ConnectionOptions
from partitioner.settings.declaration import about, option
from partitioner.settings.kinds import (
    FOLDER,
    RATE,
    SIZE,
    SWITCH,
    TIME,
    Kind,
    count,
    number,
    one_of,
    words,
)
from partitioner.settings.listener_options import insecure_option
from partitioner.settings.panels import CHOICE, EXITS, LIMITS, LINK, RUNTIME, SECURITY, UPDATES
from partitioner.settings.signature_options import require_signature_option, trusted_keys_option
from partitioner.settings.threads import threads_option
from protos.errors import UsageError

if TYPE_CHECKING:
    from edge_client.cloud.servers import Servers
    from edge_client.control.power_watch import Power
    from partitioner.bundle.bundle import Bundle
    from partitioner.planning.objective import Objective
    from partitioner.planning.terms import Terms
    from partitioner.policy.hedges import Hedging
    from partitioner.signatures.release_book import DeviceTrust

AUTO, OFF = "auto", "off"


def _read_threshold(text: str) -> ExitThreshold:
    from partitioner.exits.ladder import parse_threshold  # loads numpy

    return parse_threshold(text)


def _read_hedge(text: str) -> float | str:
    if text in (AUTO, OFF):
        return text
    try:
        return parse_duration(text)
    except UsageError:
        raise UsageError(
            f"{text!r} is no time to hedge at. Give auto, off or a time, as 80ms."
        ) from None


def _write_hedge(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}s"


_BUNDLE = replace(FOLDER, types=())  # what else it may be takes long to load; see load_bundle
_LINK = Kind(
    "UP[/DOWN],RTT",
    read=Link.parse,
    types=(Link, str),
    wanted="a Link, or text such as '10mbit,20ms'",
)
_THRESHOLD = Kind(
    "own|auto|none|SHARE",
    read=_read_threshold,
    types=(str, Real),
    wanted="own, auto, None or a number of 0 to 1",
)
_HEDGE = Kind(
    "auto|off|TIME",
    read=_read_hedge,
    write=_write_hedge,
    types=(str, Real),
    wanted="auto, off or a number of seconds",
)


@dataclass(frozen=True)
class ClientOptions(ConnectionOptions):
    """The options of a client. Raises UsageError for values that cannot be, alone or together."""

    cloud: str | None = field(
        metadata=about(
            "The cloud server, or several with commas: the next is asked when one is away, sick or full. Not "
            "needed by the cut edge.",
            words("HOST:PORT"),
            panel=LINK,
        )
    )
    bundle: "str | Path | Bundle" = field(
        metadata=about("The bundle's folder.", _BUNDLE, panel=CHOICE)
    )
    cut: str = option(
        AUTO,
        "A cut's id, cloud, edge, or auto: the best of the plan for the link.",
        words("CUT"),
        panel=CHOICE,
    )
    _: KW_ONLY
    insecure: bool = insecure_option(
        "Let a token travel in the clear beyond this machine; and listen there without TLS."
    )
    codec: str | None = option(
        None,
        "raw, half, int8, q2 to q6, jpeg, webp, jpeg-90 …",
        words("CODEC"),
        panel=CHOICE,
        shown="raw; with the cut auto: the best",
    )
    accuracy_drop: float | None = option(
        None,
        "For auto: percentage points that an option may have been measured to lose.",
        number("POINTS"),
        panel=CHOICE,
        shown=f"{DEFAULT_ACCURACY_DROP:g}",
        holds=lambda points: 0 <= points <= 100,
        wrong="an accuracy drop of {} points has no meaning. Give 0 to 100.",
    )
    link: Link | str | None = option(
        None,
        "For auto: the first guess of the link, until the cloud's answers and probes correct it.",
        _LINK,
        written="as 10mbit,20ms or 10mbit/50mbit,20ms; measure asks it",
        given="A Link, or text as 10mbit,20ms or 10mbit/50mbit,20ms; None: it is measured.",
        none="measure",
        panel=LINK,
    )
    adapt: bool | None = option(
        None, "Move the cut as conditions change.", SWITCH, shown="with the cut auto", panel=CHOICE
    )
    window: int = option(
        DEFAULT_WINDOW,
        "Frames at work at the same time.",
        count(),
        panel=LIMITS,
        holds=lambda frames: frames >= 1,
        wrong="a window of {} frames lets none through. Give 1 or more.",
    )
    timeout_s: float = option(
        DEFAULT_TIMEOUT_S,
        "How long an answer may take until it counts as lost.",
        TIME,
        panel=LIMITS,
        holds=lambda seconds: seconds > 0,
        wrong="a timeout of {:g} s leaves no time for an answer. Give more than 0.",
    )
    deadline_s: float | None = option(
        None,
        "From a frame's arrival to its result.",
        TIME,
        written="as 100ms",
        none="none",
        panel=LIMITS,
        holds=lambda seconds: seconds > 0,
        wrong="a deadline of {:g} s cannot be met. Give more than 0, or none.",
    )
    latency_s: float | None = option(
        None,
        "What a frame may be expected to take on average, by cut, codec and exits.",
        TIME,
        none="none",
        panel=LIMITS,
        shown="the deadline",
        holds=lambda seconds: seconds > 0,
        wrong="a latency of {:g} s cannot be kept. Give more than 0, or none.",
    )
    memory_bytes: int | None = option(
        None,
        "What all loaded heads and tails may take.",
        SIZE,
        none="none",
        written="as 500MB",
        shown="the last 4 of each",
        panel=LIMITS,
        holds=lambda size: size >= 1,
        wrong="{} bytes of memory hold no head. Give 1 or more.",
    )
    hedge: float | str = option(
        AUTO,
        "When the idle device begins to finish a frame that was sent, too, and what comes first counts: auto "
        "is once both are as likely to be first; or so long after it was sent.",
        _HEDGE,
        written="as 80ms",
        panel=LIMITS,
        holds=lambda after: after in (AUTO, OFF) if isinstance(after, str) else after >= 0,
        wrong="a hedge of {!r} is neither auto, off nor 0 s or more.",
    )
    on_failure: defaults.OnFailure = option(
        "finish",
        "Without an answer of the cloud: finish the frame here, or fail it.",
        one_of(*get_args(defaults.OnFailure)),
        panel=LIMITS,
        holds=lambda word: word in get_args(defaults.OnFailure),
        wrong="`on_failure` {!r} is neither 'finish' nor 'fail'.",
    )
    strict: bool = option(
        False,
        "End at the start unless the server has this very bundle, rather than serve alone until it has.",
        SWITCH,
        panel=LIMITS,
    )
    exit_threshold: ExitThreshold = option(
        None,
        "Exits answer early from this confidence: own is each exit's own, auto as high as the latency or the "
        "deadline allows, else own.",
        _THRESHOLD,
        none="none",
        panel=EXITS,
    )
    exit_floor: float | None = option(
        None,
        "For auto: the agreement below which no threshold goes.",
        number("SHARE"),
        shown="what the exits were trained for",
        panel=EXITS,
        holds=lambda share: 0 < share <= 1,
        wrong="an exit floor of {:g} is no share. Give more than 0 and at most 1, such as 0.99.",
    )
    updates: str = option(
        OFF,
        "Other versions of the bundle that the cloud offers: auto fetches, checks, tries and keeps them, "
        "hold only fetches and checks them.",
        one_of(AUTO, "hold", OFF),
        panel=UPDATES,
        holds=lambda word: word in (AUTO, "hold", OFF),
        wrong="`updates` {!r} is neither auto, hold nor off.",
    )
    update_rate_bps: float | None = option(
        None,
        "What a download may take of the link on the average.",
        RATE,
        written="as 2mbit",
        none="none",
        shown="what frames leave",
        panel=UPDATES,
        holds=lambda rate: rate > 0,
        wrong="at {:g} bit/s nothing is ever downloaded. Give more than 0.",
    )
    update_trial: int = option(
        50,
        "Frames that a version has to serve before the one that it replaces is let go.",
        count(),
        panel=UPDATES,
        holds=lambda frames: frames >= 1,
        wrong="a trial of {} frames proves nothing. Give 1 or more.",
    )
    threads: int = threads_option("Intra-op threads of the runtime.")
    provider: str = option(
        DEFAULT_PROVIDER,
        "Execution provider of ONNX Runtime.",
        words("PROVIDER"),
        panel=RUNTIME,
    )
    slow: float = option(
        1.0,
        "Rehearse a device that is so many times as slow as this one, by waiting.",
        number("TIMES"),
        shown="1: as fast as this one",
        panel=RUNTIME,
        holds=lambda times: 1 <= times <= 1000,
        wrong="a device {:g} times as slow as this one cannot be rehearsed. Give 1 to 1000, such as 8.",
    )
    trusted_keys: str | Path | None = trusted_keys_option()
    require_signature: bool = require_signature_option()
    state: str | Path | None = option(
        None,
        "A folder where this device remembers the highest release that it ran of each signed bundle.",
        FOLDER,
        shown=defaults.STATE_PLACE,
        panel=SECURITY,
    )
    objective: "Objective | str" = option(
        "latency", "What the choice and the policy minimise: latency, or latency=1,energy=0.2."
    )
    terms: "Terms | None" = option(None, "The device and the prices that joules and money need.")
    power: "Power | None" = option(
        None,
        "What tells of battery and heat, and the rules by which they shift the objective and the rate.",
    )
    edge_name: str = option(
        "", "What this device calls itself where versions are rolled out by name."
    )
    on_progress: OnProgress = option(unheard, "Hears what takes long while connecting.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cloud is not None:
            for address in self.cloud.split(","):
                self.security.check_address(address.strip())
        if isinstance(self.link, str):
            Link.parse(self.link)
        if self.exit_floor is not None and not self._moves_thresholds:
            raise UsageError(
                "an exit floor bounds a threshold that moves. Give `exit_threshold` auto, `deadline_s` or "
                "`latency_s`, and `cut` auto (or `adapt`); or leave the floor out."
            )
        if self.on_failure == "fail" and not isinstance(self.hedge, str):
            raise UsageError(
                "a hedge finishes frames here, which `on_failure` fail rules out. Leave one of them out."
            )
        if self.require_signature and self.trusted_keys is None:
            raise UsageError(
                "`require_signature` needs to know whose. Give `trusted_keys`, a folder with *.pub files."
            )
        if self.latency_s is not None and not self.adapts:
            raise UsageError(
                f"a latency of {self.latency_s:g} s is kept by a policy that moves the cut. Give `cut` "
                "auto (or `adapt`), or leave it out."
            )

    def load_bundle(self) -> "Bundle":
        """Return the bundle, loaded now if it was named, and checked for whom it is signed by.

        Raises UsageError, BundleError (SignatureError among them) or FileError.
        """
        from partitioner.bundle.bundle import Bundle

        if isinstance(self.bundle, str | Path):
            from edge_client.updates.shelf import restore_folder

            restore_folder(Path(self.bundle))
        return Bundle.of(self.bundle, self.device_trust.check)

    @property
    def device_trust(self) -> "DeviceTrust":
        """What may run on this device: whose bundles, and from which release on."""
        from partitioner.signatures.release_book import DeviceTrust

        return DeviceTrust.of(self.trusted_keys, self.state, required=self.require_signature)

    @property
    def servers(self) -> "Servers":
        """The servers, and how connections there are secured. Raises UsageError or CredentialError."""
        from edge_client.cloud.servers import parse_servers

        if self.cloud is None:
            raise UsageError("this client was made without a server. Give `cloud` HOST:PORT.")
        return parse_servers(self.cloud, self.security)

    @property
    def known_link(self) -> Link | None:
        """The link to plan for, read if it was written; None: it is to be measured."""
        return None if self.link is None else Link.of(self.link)

    @property
    def hedging(self) -> "Hedging":
        """When frames are hedged: never where those that the cloud fails are not to be finished here."""
        from partitioner.policy.hedges import Hedging

        off = self.on_failure == "fail"
        return Hedging(OFF if off else self.hedge)  # type: ignore[arg-type]  # checked above

    @property
    def adapts(self) -> bool:
        """True where the policy moves the cut as conditions change."""
        return self.cut == AUTO if self.adapt is None else self.adapt

    @property
    def _moves_thresholds(self) -> bool:
        limited = self.deadline_s is not None or self.latency_s is not None
        return self.exit_threshold == AUTO and limited and self.adapts
