"""``cubicwall attend``: attention on arrays from files, fast where that is certified to be enough."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import Output

if TYPE_CHECKING:
    from ..algorithms.fast_attention import Plan

Files = Annotated[
    list[Path],
    typer.Argument(
        help="One .npz with Q, K1, ..., V1, ... (or an instance), or as many .npy files in that order."
    ),
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        "--tolerance", help="Absolute error allowed in each entry.", show_default="the instance's, else 1e-6"
    ),
]
Method = Annotated[str, typer.Option("--method", help="auto, exact or fast.")]
Scale = Annotated[float | None, typer.Option("--scale", help="Factor of the logits.", show_default="1/d")]
MaxRank = Annotated[int, typer.Option("--max-rank", min=1, help="Largest rank of the polynomial method.")]
Explain = Annotated[bool, typer.Option("--explain", help="Print the plan and stop.")]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler", help="Share the work on a Dask cluster: its address, or local for one made here."
    ),
]
Save = Annotated[Path | None, typer.Option("-o", "--output", help="The .npz file for the output.")]

Differentiate = Annotated[
    Path | None,
    typer.Option(
        "--gradient",
        help="Differentiate instead: dO, the loss by the output (.npy, or an .npz that holds dO).",
    ),
]

Arrays = tuple[Any, list[Any], list[Any]]


def attend(
    out: Output,
    files: Files,
    output: Save = None,
    tolerance: Tolerance = None,
    method: Method = "auto",
    scale: Scale = None,
    max_rank: MaxRank = 500_000,
    scheduler: Scheduler = None,
    explain: Explain = False,
    gradient: Differentiate = None,
) -> int:
    """Compute attention or its gradient on arrays from FILES; print a certificate of the error."""
    import numpy as np

    from ..algorithms.fast_attention import fast_attention, plan
    from ..instances.archives import write_archive
    from ..instances.provenance import Provenance

    if output is None and not explain:
        raise ValueError("Argument 'output' must be given, unless --explain only plans.")
    if output is not None and output.suffix != ".npz":
        raise ValueError(f"Argument 'output' must end in .npz, not {str(output)!r}.")
    (query, keys, values), asked, own_scale = read_arrays(files)
    chosen: Any = method
    options: dict[str, Any] = {
        "tolerance": tolerance if tolerance is not None else asked,
        "scale": scale if scale is not None else own_scale,
        "method": chosen,
        "max_rank": max_rank,
    }
    if gradient is not None:
        if explain:
            raise ValueError("Argument 'explain' plans the output, not the gradient.")
        assert output is not None
        return _differentiate(out, files, (query, keys, values), gradient, output, scheduler, options)
    if explain:
        _print_plan(out, plan(query, keys, values, **options))
        return 0
    if scheduler is None:
        result = fast_attention(query, keys, values, **options)
    else:
        if method == "exact":
            raise ValueError("Argument 'scheduler' goes with the fast method, not with 'exact'.")
        from ..algorithms.sharded import sharded_attention

        del options["method"]
        address = None if scheduler == "local" else scheduler
        result = sharded_attention(query, keys, values, **options, scheduler=address)
    certificate = asdict(result.certificate)
    made = f"attend({', '.join(file.name for file in files)}, tolerance={options['tolerance']:g})"
    assert output is not None
    write_archive(
        output,
        "attention_output",
        {"output": result.output, "certificate": np.array(json.dumps(certificate))},
        Provenance(made),
    )
    out.table("Certificate", ("", "value"), ((name, _text(value)) for name, value in certificate.items()))
    out.line(
        f"{output}: shape {result.output.shape}, error at most {result.certificate.bound:.3g} in every entry"
    )
    out.document(output=output, shape=result.output.shape, certificate=certificate)
    return 0


def _differentiate(
    out: Output,
    files: list[Path],
    arrays: Arrays,
    upstream_file: Path,
    output: Path,
    scheduler: str | None,
    options: dict[str, Any],
) -> int:
    """Write output and all gradients, and print what each can be off by."""
    import numpy as np

    from ..algorithms.gradient_method import gradient_by
    from ..instances.archives import write_archive
    from ..instances.provenance import Provenance

    upstream = _read_upstream(upstream_file)
    found: Any
    method: str
    if scheduler is None:
        method, found, why = gradient_by(*arrays, upstream, **options)
    else:
        if options.pop("method") == "exact":
            raise ValueError("Argument 'scheduler' goes with the fast method, not with 'exact'.")
        from ..algorithms.sharded_gradient import sharded_gradient

        address = None if scheduler == "local" else scheduler
        method, why = "fast", "sharded"
        found = sharded_gradient(*arrays, upstream, **options, scheduler=address)
    certificate: dict[str, Any] = {"method": method, "reason": why, "tolerance": options["tolerance"]}
    if found.certificate is not None:
        certificate |= asdict(found.certificate) | {"bound": found.certificate.bound}
    names = ["dQ"] + [f"d{side}{t + 1}" for side in "KV" for t in range(len(found.keys))]
    gradients = dict(zip(names, (found.query, *found.keys, *found.values), strict=True))
    write_archive(
        output,
        "attention_gradients",
        {**gradients, "output": found.output, "certificate": np.array(json.dumps(certificate))},
        Provenance(f"attend({', '.join(file.name for file in (*files, upstream_file))}, gradient)"),
    )
    out.table("Certificate", ("", "value"), ((name, _text(value)) for name, value in certificate.items()))
    shapes = {name: array.shape for name, array in gradients.items()}
    known = f"error at most {certificate['bound']:.3g}" if "bound" in certificate else "exact up to rounding"
    out.line(f"{output}: {', '.join(f'{name} {shape}' for name, shape in shapes.items())}; {known}")
    out.document(output=output, shapes=shapes, certificate=certificate)
    return 0


def _read_upstream(file: Path) -> Any:
    import numpy as np

    if file.suffix == ".npy":
        return np.load(file, mmap_mode="r", allow_pickle=False)
    if file.suffix != ".npz":
        raise ValueError(f"Argument 'gradient' must end in .npy or .npz, not {str(file)!r}.")
    with np.load(file, allow_pickle=False) as archive:
        if "dO" not in archive.files:
            raise ValueError(f"{file}: must hold the array dO, not {sorted(archive.files)}.")
        return archive["dO"]


def read_arrays(files: list[Path]) -> tuple[Arrays, float, float | None]:
    """Read query, keys and values, tolerance asked for and scale, from one .npz or several .npy files.

    The .npy files are mapped, not read: they may be larger than memory.

    Raises
    ------
    ValueError
        If the files are neither, or an array is missing.
    """
    import numpy as np

    from ..instances.attention import TensorAttention

    if len(files) == 1 and files[0].suffix == ".npz":
        with np.load(files[0], allow_pickle=False) as archive:
            names = set(archive.files)
            if "kind" not in names:
                return _plain(files[0], {name: archive[name] for name in names - {"dO"}}), 1e-6, None
        instance = TensorAttention.read(files[0])
        return (instance.query, list(instance.keys), list(instance.values)), instance.accuracy, instance.scale
    if len(files) < 3 or len(files) % 2 == 0 or any(file.suffix != ".npy" for file in files):
        raise ValueError(
            "Argument 'files' must be one .npz, or Q, K1, ..., V1, ... as an odd number of .npy files, "
            f"not {[str(file) for file in files]}."
        )
    query, *rest = (np.load(file, mmap_mode="r", allow_pickle=False) for file in files)
    half = len(rest) // 2
    return (query, rest[:half], rest[half:]), 1e-6, None


def _plain(file: Path, arrays: dict[str, Any]) -> Arrays:
    order = 1 + sum(name.startswith("K") for name in arrays)
    expected = {"Q", *(f"{side}{t}" for side in "KV" for t in range(1, order))}
    if set(arrays) != expected or order < 2:
        raise ValueError(f"{file}: must hold the arrays Q, K1, ..., V1, ..., not {sorted(arrays)}.")
    return arrays["Q"], [arrays[f"K{t}"] for t in range(1, order)], [arrays[f"V{t}"] for t in range(1, order)]


def _print_plan(out: Output, chosen: Plan) -> None:
    out.line(f"{chosen.method}: {chosen.reason}")
    out.table("Plan", ("", "value"), ((name, _text(value)) for name, value in asdict(chosen).items()))
    out.document(**asdict(chosen))


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_text(part) for part in value) + "]"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None else str(value)
