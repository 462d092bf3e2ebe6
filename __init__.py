"""cubicwall: both sides of the (log n)^(1/k) wall of tensor attention, as running code."""
