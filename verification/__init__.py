"""How we know: adversaries, exhaustive small cases, proofs and audits."""
