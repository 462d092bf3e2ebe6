"""Tracing: an oracle that also writes down.

A trace keeps sizes, claims and times, hop by hop, and never an instance, so that it stays small
however many instances a reduction yields.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from .reduction import Claim, Reduction, Size, Steps, chain


@dataclass
class Hop:
    """What was seen at one arrow of a path.

    `sources` source instances came in and `calls` target instances went out, at most
    `most_calls` for one source. `claimed` and `measured` hold, for each measure of the targets,
    the pair for the source that came closest to breaking its claim; `breaches` says in words
    which claims were broken. `regimes` counts the sources that ran in each regime of the arrow, and
    `source` is the size of the one whose claim allows the most calls.
    """

    arrow: str
    reference: str
    statement: str
    sources: int = 0
    calls: int = 0
    most_calls: int = 0
    claimed_calls: int = 0
    claimed: dict[str, float] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)
    exact: frozenset[str] = frozenset()
    breaches: list[str] = field(default_factory=list)
    seconds: float = 0.0
    """Time spent below this arrow, in answering its instances."""
    regimes: dict[str, int] = field(default_factory=dict)
    source: Size | None = None

    def meet(self, size: Size, claim: Claim, regime: str | None) -> None:
        """Write down of a source what is known before it is entered."""
        if self.source is None or claim.calls > self.claimed_calls:
            self.source = size
        if regime is not None:
            self.regimes[regime] = self.regimes.get(regime, 0) + 1

    def enter(self, claim: Claim) -> Visit:
        """Begin with one more source instance, for which `claim` holds."""
        self.sources += 1
        self.exact = claim.exact
        return Visit(self, claim)


@dataclass
class Visit:
    """One source instance on its way through a hop."""

    hop: Hop
    claim: Claim
    calls: int = 0
    largest: dict[str, float] = field(default_factory=dict)

    def saw(self, measures: dict[str, float]) -> None:
        """Write down one target instance."""
        self.calls += 1
        self.hop.calls += 1
        for name, value in measures.items():
            worst = min if name == "eps" else max
            self.largest[name] = worst(self.largest.get(name, value), value)

    def leave(self) -> None:
        """Compare what was seen with what was claimed, and keep the worst."""
        hop, claimed = self.hop, self.claim.target.measures()
        hop.most_calls = max(hop.most_calls, self.calls)
        hop.claimed_calls = max(hop.claimed_calls, self.claim.calls)
        if self.calls > self.claim.calls:
            hop.breaches.append(f"{hop.arrow}: {self.calls} calls, claimed at most {self.claim.calls}")
        for name, value in self.largest.items():
            bound = claimed[name]
            # An accuracy is a floor, everything else a ceiling; 1e-12 is room for rounding.
            excess = bound / value - 1 if name == "eps" else (value - bound) / max(abs(bound), 1.0)
            if excess > 1e-12:
                hop.breaches.append(f"{hop.arrow}: {name} = {value:.6g}, claimed {bound:.6g}")
            elif name in self.claim.exact and excess < -1e-12:
                hop.breaches.append(f"{hop.arrow}: {name} = {value:.6g}, claimed exactly {bound:.6g}")
            seen = hop.measured.get(name)
            before = None if seen is None else _slack(name, seen, hop.claimed[name])
            if before is None or _slack(name, value, bound) < before:
                hop.measured[name], hop.claimed[name] = value, bound


def _slack(name: str, measured: float, claimed: float) -> float:
    return measured - claimed if name == "eps" else claimed - measured


def traced(
    arrow: Reduction[Any, Any, Any, Any, Any], hop: Hop, options: dict[str, Any]
) -> Callable[[Any], Steps[Any, Any, Any]]:
    """Return `arrow` with `options` bound, writing everything that passes into `hop`."""

    def watched(source: Any) -> Steps[Any, Any, Any]:
        size, regime = source.size, arrow.contract.regime
        claim = arrow.contract.claim(size, **options)
        hop.meet(size, claim, None if regime is None else regime(size, **options))
        visit = hop.enter(claim)

        def note(target: Any) -> Steps[Any, Any, Any]:
            visit.saw(target.size.measures())
            began = perf_counter()
            answer = yield target
            hop.seconds += perf_counter() - began
            return answer

        answer = yield from chain(arrow(source, **options), note)
        visit.leave()
        return answer

    return watched
