"""What can be asked: formulas, orthogonal vectors, tensor attention, and the answers."""
