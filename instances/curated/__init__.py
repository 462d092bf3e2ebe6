"""Formulas with known status; PROVENANCE.md says where each comes from."""
