"""Does a triple of tokens sum to zero? One layer of attention learns it at order 3, and not at order 2.

    pip install 'cubicwall[torch]'
    python examples/match3.py [--modulus 23] [--tokens 8] [--steps 700] [--seed 0] [-o match3.svg]

Match3 [SHT23]: for tokens x_1..x_n of Z_p, mark every i for which some j_1, j_2 have x_i + x_j1 + x_j2 ≡ 0.
Attention of order 3 scores pairs (j_1, j_2), and cos(2πf(x_i + x_j1 + x_j2)/p) is a sum of four products of
cosines and sines: a few columns suffice. At order 2 a query sees one token at a time, so a layer must do
with averages over the others. Sequences in which x_i + 2 x_j ≡ 0 for some i, j are not drawn: order 2 would
see those.

Both orders get the same tokens (cosines and sines of all frequencies, and one token of rest, as in the
reductions), the same width of heads, the same numbers of steps, batches and learning rate, and a linear
readout. Three heads of order 3 have five projections each; order 2 gets five heads of three, so that it has
as many columns in, and more parameters in all. Everything is seeded; held-out sequences have a seed of
their own.

[SHT23] Sanford, Hsu, Telgarsky. Representational strengths and limitations of transformers. arXiv 2306.02896.

Glossary
--------
modulus   p; tokens: n, those of a sequence without the token of rest.
chance    the accuracy of the more frequent answer.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from cubicwall.algorithms.torch_layer import TensorAttention
from torch import Tensor, nn

HEADS = {3: 3, 2: 5}
HEAD_WIDTH = 16
HELD_OUT = 2000


@dataclass(frozen=True)
class Task:
    """Match3 modulo p with n tokens."""

    modulus: int
    tokens: int

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw sequences without a pair that counts, (count, n), and their marks, likewise."""
        kept: list[Tensor] = []
        while sum(map(len, kept)) < count:
            x = torch.randint(self.modulus, (16 * count, self.tokens), generator=generator)
            pairs = (2 * x[:, :, None] + x[:, None, :]) % self.modulus == 0
            kept.append(x[~pairs.flatten(1).any(1)])
        x = torch.cat(kept)[:count]
        sums = x[:, :, None, None] + x[:, None, :, None] + x[:, None, None, :]
        return x, (sums % self.modulus == 0).flatten(2).any(2)

    def features(self, x: Tensor) -> Tensor:
        """Return (count, n + 1, p): cosines and sines, and a last token that only its own column knows."""
        frequencies = torch.arange(1, (self.modulus + 1) // 2)
        angles = 2 * math.pi * frequencies * x[..., None] / self.modulus
        real = nn.functional.pad(torch.cat([angles.cos(), angles.sin()], -1), (0, 1, 0, 1))
        real[:, -1, -1] = 1.0
        return real


class Marker(nn.Module):
    """One layer of attention and a linear readout."""

    def __init__(self, task: Task, order: int) -> None:
        super().__init__()
        width = task.modulus
        self.attention = TensorAttention(
            width, HEADS[order], order=order, head_width=HEAD_WIDTH, scale=1.0, method="exact"
        )
        self.readout = nn.Linear(width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return a logit for every token but the one of rest."""
        result: Tensor = self.readout(self.attention(features))[:, :-1, 0]
        return result


@dataclass(frozen=True)
class Learned:
    """How one order fared: parameters, loss of every step, accuracy on held-out sequences, and chance."""

    order: int
    parameters: int
    losses: list[float]
    accuracy: float
    chance: float


def learn(
    task: Task, order: int, *, steps: int, batch: int = 64, rate: float = 1e-2, seed: int = 0
) -> Learned:
    """Train on fresh sequences in every step, and test on others."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = Marker(task, order)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    for _ in range(steps):
        x, marks = task.draw(batch, generator)
        loss = nn.functional.binary_cross_entropy_with_logits(model(task.features(x)), marks.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    x, marks = task.draw(HELD_OUT, torch.Generator().manual_seed(seed + 1_000_003))
    with torch.no_grad():
        right = ((model(task.features(x)) > 0) == marks).float().mean().item()
    share = marks.float().mean().item()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Learned(order, parameters, losses, right, max(share, 1 - share))


def draw(task: Task, results: list[Learned], file: Path) -> None:
    """Draw the losses, averaged over a few steps."""
    from cubicwall.experiments.figures import BLUE, ORANGE, save
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for result, colour in zip(results, (BLUE, ORANGE), strict=True):
        run = max(1, len(result.losses) // 50)
        smooth = [sum(result.losses[i : i + run]) / run for i in range(0, len(result.losses) - run + 1, run)]
        label = f"order {result.order}: {result.accuracy:.1%} right on held-out sequences"
        axes.plot([run * (i + 0.5) for i in range(len(smooth))], smooth, color=colour, label=label)
    axes.set_xlabel("step")
    axes.set_ylabel("loss (cross-entropy of a token)")
    axes.set_ylim(bottom=0)
    axes.set_title(
        f"Match3 modulo {task.modulus}, {task.tokens} tokens, one layer (chance {results[0].chance:.1%})",
        loc="left",
    )
    axes.legend()
    save(figure, file)


def main(arguments: list[str] | None = None) -> list[Learned]:
    """Train both orders, print a table, draw the losses."""
    options: Any = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--modulus", type=int, default=23, help="an odd number, at least 5")
    options.add_argument("--tokens", type=int, default=8)
    options.add_argument("--steps", type=int, default=700)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("-o", "--output", type=Path, default=Path("match3.svg"))
    chosen = options.parse_args(arguments)
    if chosen.modulus < 5 or chosen.modulus % 2 == 0:
        options.error(f"--modulus must be odd and at least 5, not {chosen.modulus}")
    torch.set_num_threads(1)  # the linear maps are small, and the kernels bring threads of their own
    task = Task(chosen.modulus, chosen.tokens)
    results = []
    for order in HEADS:
        results.append(learn(task, order, steps=chosen.steps, seed=chosen.seed))
        found = results[-1]
        print(
            f"order {order}: {HEADS[order]} heads, {found.parameters:,} parameters, {chosen.steps} steps, "
            f"last loss {found.losses[-1]:.3f}, held-out accuracy {found.accuracy:.3f} "
            f"(chance {found.chance:.3f})"
        )
    draw(task, results, chosen.output)
    print(f"picture: {chosen.output}")
    return results


if __name__ == "__main__":
    main()
