"""Outcomes of an exit on inputs that it has not seen: rates, agreement, accuracy, calibration error."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from partitioner.bundle.accuracy import Z95, wilson
from partitioner.common.units import plural

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

_BINS = 15


@dataclass(frozen=True)
class ExitStanding:
    """What one threshold comes to. Shares are of 1; None where nothing is known, or nothing exits."""

    threshold: float
    samples: int
    exit_rate: float
    """Share of all inputs that exit."""
    agreement: float | None
    """Share of those that exit which get the whole model's class."""
    agreement_95: float | None
    """The lower end of its 95 % interval (Wilson): what is sure but for chance."""
    accuracy: float | None
    """Share of all inputs that are right, where the whole model answers those that do not exit."""
    whole_accuracy: float | None
    """The same where it answers all."""
    ece: float | None
    """Expected calibration error of those that exit; see `calibration_error`."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One entry an input, shape [n]: the exit's confidence, and whether it names the whole model's class.

    `right` and `whole_right` say whether exit and whole model name the label's; None without labels.
    """

    confidence: Floats
    agrees: Bools
    right: Bools | None = None
    whole_right: Bools | None = None

    def __repr__(self) -> str:
        labelled = ", labelled" if self.right is not None else ""
        return f"<Outcomes of {plural(len(self.confidence), 'input')}{labelled}>"

    def rate(self, threshold: float) -> float:
        """Return the share of inputs whose confidence reaches `threshold`."""
        return float(np.mean(self.confidence >= threshold))

    def at(self, threshold: float) -> ExitStanding:
        """Return what comes of answering early from `threshold` on."""
        exits = self.confidence >= threshold
        accuracy = whole_accuracy = None
        if self.right is not None and self.whole_right is not None:
            accuracy = float(np.mean(np.where(exits, self.right, self.whole_right)))
            whole_accuracy = float(np.mean(self.whole_right))
        some = bool(exits.any())
        agreeing, exiting = int(self.agrees[exits].sum()), int(exits.sum())
        return ExitStanding(
            threshold=threshold,
            samples=len(exits),
            exit_rate=float(np.mean(exits)),
            agreement=agreeing / exiting if some else None,
            agreement_95=wilson(agreeing, exiting)[0] if some else None,
            accuracy=accuracy,
            whole_accuracy=whole_accuracy,
            ece=calibration_error(self.confidence[exits], self.agrees[exits]) if some else None,
        )

    def threshold_for(self, agreement: float) -> float | None:
        """Return the lowest threshold at which those that exit agree as often as wanted; None: nowhere.

        Chance is allowed for: the lower end of Wilson's 95 % interval of their share reaches `agreement`,
        so that few inputs promise little. An agreement of 1 asks that all agreed.
        """
        order = np.argsort(-self.confidence, kind="stable")
        confidence, agrees = self.confidence[order], self.agrees[order]
        exiting = np.arange(1, len(agrees) + 1)
        share = np.cumsum(agrees) / exiting
        # Wilson's interval ends where the score test does (E. B. Wilson, JASA 22(158), 1927).
        doubt = Z95 * np.sqrt(agreement * (1 - agreement) / exiting)
        last_of_equals = np.append(confidence[1:] < confidence[:-1], True)
        good = np.flatnonzero((share - agreement >= doubt) & last_of_equals)
        return float(confidence[good[-1]]) if len(good) else None


def fewest_for(agreement: float) -> int:
    """Return how many inputs must exit, all agreeing, before `threshold_for` finds a threshold."""
    if agreement == 1:
        return 1
    return math.ceil(Z95**2 * agreement / (1 - agreement))


def calibration_error(confidence: Floats, agrees: Bools) -> float:
    """Return the mean gap between confidence and agreement over 15 equal bins, weighted by their inputs
    (ECE: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3)."""
    bins = np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1)
    gaps = np.bincount(bins, agrees.astype(np.float64) - confidence, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def softmax(scores: npt.NDArray[np.floating]) -> Floats:
    """Return the probabilities of the scores [n, classes]."""
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


def fit_temperature(scores: Floats, classes: npt.NDArray[np.int64]) -> float:
    """Return what the scores [n, classes] are divided by so that their softmax is least surprised by
    `classes` (Guo et al. 2017, section 4.2), within 2 % and from 0.05 to 20."""
    tried = np.geomspace(0.05, 20.0, 300)
    rows = np.arange(len(classes))

    def surprise(temperature: float) -> float:
        chances = softmax(scores / temperature)[rows, classes]
        return float(-np.log(np.maximum(chances, 1e-12)).mean())

    return float(min(tried, key=surprise))
