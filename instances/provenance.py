"""Where an instance comes from: what made it, from which seed, with which version."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

VERSION = "0.1.0"  # the package's version; pyproject.toml carries the same, and a test compares them
SCHEMA = 1  # the version of every file format that cubicwall writes


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made an instance.

    Parameters
    ----------
    maker : str
        The generator or reduction with its parameters, such as ``"random_ksat(variables=12)"``.
    seed : int or None
        The seed that the maker's random generator was created from, where there was one.
    version : str
        The version of cubicwall that ran.
    """

    maker: str = "unknown"
    seed: int | None = None
    version: str = VERSION

    def to_json(self) -> str:
        """One line of JSON, for file headers."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Provenance:
        """Read what `to_json` wrote. Raises ValueError for anything else."""
        fields = json.loads(text)
        if not isinstance(fields, dict) or set(fields) != {"maker", "seed", "version"}:
            raise ValueError(f"Provenance must hold maker, seed and version, not {text!r}.")
        maker, seed, version = fields["maker"], fields["seed"], fields["version"]
        if type(maker) is not str or type(version) is not str or type(seed) not in (int, type(None)):
            raise ValueError(f"Provenance must hold two strings and an integer or null, not {text!r}.")
        return Provenance(maker, seed, version)
