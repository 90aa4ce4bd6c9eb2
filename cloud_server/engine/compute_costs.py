"""How long a row of each model takes a worker, as seen lately; what shares of the workers are reckoned in."""

from collections import Counter

_LATEST, _MOST_TIMES = 0.2, 3.0
"""Weight of the newest run, which counts as so many times as long as expected at most: a machine that was
held up for a moment is not slow."""
_FIRST_RUNS = 5
"""Of these the fastest counts: the first of all may take a hundred times as long as those that follow."""
_UNKNOWN_S = 1e-3
"""Taken for a row of a model that has not run yet."""


class ComputeCosts:
    """Seconds a row, by the model's name. May be used from any thread: a lost update is none that matters."""

    def __init__(self) -> None:
        self._row_s: dict[str, float] = {}
        self._runs: Counter[str] = Counter()

    def add(self, model: str, rows: int, compute_s: float) -> None:
        """Learn from one run of so many rows."""
        row_s = compute_s / rows
        self._runs[model] += 1
        if self._runs[model] <= _FIRST_RUNS:
            self._row_s[model] = min(row_s, self._row_s.get(model, row_s))
            return
        before_s = self._row_s[model]
        self._row_s[model] = before_s + _LATEST * (min(row_s, _MOST_TIMES * before_s) - before_s)

    def predict(self, model: str, rows: int) -> float:
        """Return about how many seconds so many rows take."""
        return rows * self._row_s.get(model, _UNKNOWN_S)
