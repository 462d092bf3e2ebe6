"""The command line: one thin command a verb. Heavy imports wait inside the verbs that need them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .commands.attending import attend
from .commands.auditing import print_audit, print_regimes, refuse_broken_claims, trace_fields
from .commands.console import BrokenPromiseError, Output, run_app, verb
from .commands.generating import generate_app
from .commands.measuring import threshold
from .commands.tabulating import constants
from .commands.transforming import transformer
from .commands.tuning import tunable
from .instances.provenance import VERSION

if TYPE_CHECKING:
    from .instances.answer import Answer
    from .reductions.arrows import Path as Arrows
    from .reductions.solving import Solution

Options = dict[str, Any]

app = typer.Typer(
    name="cubicwall",
    help="Both sides of the (log n)^(1/k) wall of tensor attention, as running code.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)
verb(app)(attend)
verb(app)(transformer)
verb(app)(constants)
verb(app)(threshold)
app.add_typer(generate_app, name="generate", help="Make an instance: formulas and orthogonal vectors.")

File = Annotated[
    str,
    typer.Argument(help="A DIMACS formula (.cnf, also .gz .bz2 .xz, - for stdin) or vectors (.npz, .kov)."),
]
Order = Annotated[int, typer.Option("--order", "-k", min=2, help="Order k of the attention.")]
Via = Annotated[str, typer.Option("--via", help="Path: direct, gap, gradient or another that `path` lists.")]
Oracle = Annotated[
    str, typer.Option("--oracle", help="exact, fast, adversarial[:STRATEGY], or your own MODULE:FUNCTION.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the random generator.")]
Check = Annotated[
    bool, typer.Option("--check", help="Compare with an independent solver; exit 1 if they differ.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Run even if it is predicted not to fit in time or memory.")
]


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        print(f"cubicwall {VERSION}")
        raise typer.Exit


@verb(app)
@tunable
def solve(
    out: Output,
    file: File,
    options: Options,
    order: Order = 3,
    via: Via = "direct",
    oracle: Oracle = "exact",
    seed: Seed = 0,
    check: Check = False,
    proof: Annotated[
        Path | None, typer.Option("--proof", help="On NO, write a DRUP proof by a SAT solver, checked here.")
    ] = None,
    force: Force = False,
) -> int:
    """Decide FILE through attention; prints and exits as in SAT competitions: 10 YES, 20 NO, 0 UNKNOWN."""
    from .instances.answer import No, Undecided, Yes
    from .instances.cnf import CNF

    instance = _read(file)
    route = _route(instance, via, {"order": order, **options})
    solution = _through(out, instance, route, oracle, seed, force)
    if solution is None:
        return 0
    answer = solution.answer
    if isinstance(answer, Undecided):
        out.line("s UNKNOWN")
        out.line(f"c {answer.reason}")
    elif isinstance(answer, Yes):
        out.line("s SATISFIABLE")
        for line in _witness_lines(answer.witness, ends_in_zero=isinstance(instance, CNF)):
            out.line(line)
    else:
        out.line("s UNSATISFIABLE")
    out.document(**_answer_fields(answer), trace=trace_fields(solution.trace))
    if isinstance(answer, Undecided) and answer.breach:
        raise BrokenPromiseError(f"the oracle {oracle!r} broke its promise: {answer.reason}")
    refuse_broken_claims(solution.trace)
    if check and not isinstance(answer, Undecided):
        from .verification.truth import decide

        truth = decide(instance)
        if isinstance(truth, No) != isinstance(answer, No):
            raise BrokenPromiseError(
                f"the answer {type(answer).__name__} is wrong: "
                f"an independent solver says {type(truth).__name__}"
            )
        out.note("c an independent solver agrees")
    if proof is not None and isinstance(answer, No) and isinstance(instance, CNF):
        from .verification.proofs import write_proof

        out.note(f"c {proof}: a DRUP proof of {write_proof(instance, proof)} steps, checked")
    return {Yes: 10, No: 20}.get(type(answer), 0)


@verb(app)
@tunable
def count(
    out: Output,
    file: File,
    options: Options,
    order: Order = 3,
    via: Via = "direct",
    oracle: Oracle = "exact",
    seed: Seed = 0,
    check: Check = False,
    force: Force = False,
) -> int:
    """Count the models of FILE (or its orthogonal tuples) through attention."""
    from .instances.answer import Count, Undecided

    instance = _read(file)
    route = _route(instance, via, {"order": order, **options}, counting=True)
    solution = _through(out, instance, route, oracle, seed, force)
    if solution is None:
        return 0
    answer = solution.answer
    out.document(**_answer_fields(answer), trace=trace_fields(solution.trace))
    if isinstance(answer, Undecided):
        out.line("s UNKNOWN")
        out.line(f"c {answer.reason}")
        if answer.breach:
            raise BrokenPromiseError(f"the oracle {oracle!r} broke its promise: {answer.reason}")
        return 0
    assert isinstance(answer, Count)
    out.line(str(answer.value))
    refuse_broken_claims(solution.trace)
    if check:
        from .verification.truth import count as independent

        truth = independent(instance)
        if truth != answer.value:
            raise BrokenPromiseError(
                f"the count {answer.value} is wrong: an independent counter says {truth}"
            )
        out.note("c an independent counter agrees")
    return 0


@verb(app)
@tunable
def audit(
    out: Output,
    file: File,
    options: Options,
    order: Order = 3,
    via: Via = "direct",
    oracle: Oracle = "exact",
    seed: Seed = 0,
    counting: Annotated[
        bool, typer.Option("--count", help="Audit the count instead of the decision.")
    ] = False,
    force: Force = False,
) -> int:
    """Run FILE along the path and print each arrow's claim beside its measurement; exit 1 if one breaks."""
    instance = _read(file)
    route = _route(instance, via, {"order": order, **options}, counting=counting)
    solution = _through(out, instance, route, oracle, seed, force)
    if solution is None:
        return 0
    print_audit(out, solution.trace)
    constants = print_regimes(out, route, solution.trace)
    out.document(**_answer_fields(solution.answer), trace=trace_fields(solution.trace), **constants)
    refuse_broken_claims(solution.trace)
    return 0


@verb(app)
@tunable
def reduce(
    out: Output,
    file: File,
    folder: Annotated[Path, typer.Option("-o", "--output", help="A new folder for the waiting reduction.")],
    options: Options,
    order: Order = 3,
    via: Via = "direct",
    counting: Annotated[bool, typer.Option("--count", help="Ask how many instead of whether.")] = False,
    force: Force = False,
) -> int:
    """Write what FILE reduces to into a folder, for any outside program to answer; see `lift`."""
    from .reductions.replay import begin

    instance = _read(file)
    route = _route(instance, via, {"order": order, **options}, counting=counting)
    if _refused(out, instance, route, force):
        return 0
    step = begin(instance, folder, via=via, order=order, counting=counting, **options)
    return _print_step(out, folder, step, formula=hasattr(instance, "clauses"))


@verb(app)
def lift(
    out: Output,
    folder: Annotated[Path, typer.Argument(help="The folder that `reduce` made.")],
    answer: Annotated[
        Path, typer.Argument(help="The answer: an output as .npy, or .json for other instances.")
    ],
) -> int:
    """Answer the pending instance of FOLDER; writes the next one, or prints the answer as `solve` does."""
    from .reductions.replay import BreachError, source_kind
    from .reductions.replay import lift as lift_answer

    try:
        step = lift_answer(folder, answer)
    except BreachError as breach:
        raise BrokenPromiseError(f"the answer in {answer} breaks its promise: {breach}") from breach
    return _print_step(out, folder, step, formula=source_kind(folder) == "CNF")


@verb(app)
def path(
    out: Output,
    source: Annotated[str, typer.Argument(help="Where paths begin.")] = "CNF",
    target: Annotated[str, typer.Argument(help="Where they end.")] = "TensorAttention",
    order: Order = 3,
    counting: Annotated[bool, typer.Option("--count", help="Paths that keep counts.")] = False,
) -> int:
    """List the paths of arrows between two kinds of instances, with what each arrow proves."""
    from .reductions.arrows import ALIASES, arrows, paths

    known, found = arrows(), list(paths(source, target, counting=counting))
    for names in found:
        short = [alias for alias, routes in ALIASES.items() if routes.get(counting) == names]
        out.line(",".join(names))
        for alias in short:
            out.note(f"    for short: --via {alias}")
        for name in names:
            terms = known[name].contract
            out.note(f"    {name}: {terms.statement.format(k=order)}  {terms.reference}")
    out.document(paths=found)
    if not found:
        out.line(f"no path from {source} to {target}")
    return 0


@verb(app)
def graph(
    out: Output,
    file: Annotated[Path, typer.Option("-o", "--output", help="The SVG file to write.")] = Path("arrows.svg"),
) -> int:
    """Draw the graph of arrows as an SVG file."""
    from .experiments.figures import draw_arrows
    from .reductions.arrows import graph as whole_graph

    whole = whole_graph()
    draw_arrows(whole, file)
    out.note(f"{file}: {whole.number_of_nodes()} kinds of instances, {whole.number_of_edges()} arrows")
    out.document(file=file, nodes=sorted(whole), arrows=sorted(key for _, _, key in whole.edges(keys=True)))
    return 0


@verb(app)
def demo(
    out: Output,
    picture: Annotated[Path, typer.Option("-o", "--output", help="Where the picture goes.")] = Path(
        "demo.svg"
    ),
    seed: Seed = 1,
) -> int:
    """Generate formulas, decide and count them through attention, compare with a solver, audit, draw."""
    from time import perf_counter

    from .experiments.demo import formulas, run_case
    from .experiments.figures import draw_decisions
    from .verification.audit import breaches

    began = perf_counter()
    with out.progress("demo") as advance:
        made = formulas(seed)
        cases = []
        for family, formula in made:
            cases.append(run_case(family, formula))
            advance(len(cases) / len(made))
    columns = ("formula", "n", "m", "SAT solver", "attention", "adversary", "models", "agree")
    rows = [
        (
            case.family,
            case.formula.variables,
            len(case.formula.clauses),
            *(type(a).__name__.upper() for a in (case.expected, case.solution.answer, case.attacked)),
            case.models,
            case.agrees,
        )
        for case in cases
    ]
    out.table(
        "CNF → 3-OV → tensor attention → answer; the adversary errs by 0.17 in every entry", columns, rows
    )
    out.note(f"The audit of {cases[0].family!r}: what each arrow claims, and what was measured.")
    print_audit(out, cases[0].solution.trace)
    draw_decisions(
        [(f"{case.family}\n{type(case.expected).__name__.upper()}", case.masses) for case in cases], picture
    )
    out.note(f"Picture: {picture}")
    agreeing = sum(case.agrees for case in cases)
    out.line(
        f"{agreeing} of {len(cases)} formulas agree with the SAT solver, in {perf_counter() - began:.1f} s"
    )
    out.document(formulas=[dict(zip(columns, row, strict=True)) for row in rows], picture=picture)
    if agreeing < len(cases) or any(breaches(case.solution.trace) for case in cases):
        raise BrokenPromiseError("attention and the SAT solver disagree, or a claim is broken")
    return 0


def main() -> None:
    """Run the command line."""
    run_app(app)


def _read(file: str) -> Any:
    from .instances.reading import read_instance

    return read_instance(file)


def _route(instance: Any, via: str, options: dict[str, Any], *, counting: bool = False) -> Arrows:
    from .reductions.arrows import find_path

    return find_path(via, type(instance), counting=counting, **options)


def _through(
    out: Output, instance: Any, route: Arrows, oracle: str, seed: int, force: bool
) -> Solution | None:
    """Run the path under a progress bar, or say why not and return None."""
    from .reductions.reduction import OracleError
    from .reductions.solving import Solution
    from .verification.oracles import named_oracle

    if _refused(out, instance, route, force):
        return None
    with out.progress("attention") as advance:
        asked = named_oracle(oracle, seed=seed, progress=advance)
        try:
            answer, trace = route.run(instance, asked)
        except OracleError as failure:
            raise BrokenPromiseError(f"the oracle {oracle!r} failed: {failure.__cause__!r}") from failure
    return Solution(answer, trace)


def _refused(out: Output, instance: Any, route: Arrows, force: bool) -> bool:
    from .reductions.feasibility import predict, refusal

    reason = refusal(predict(route, instance.size))
    if reason is None or force:
        return False
    out.line("s UNKNOWN")
    out.line(f"c {reason}; --force overrides")
    out.document(answer="undecided", reason=reason)
    return True


def _print_step(out: Output, folder: Path, step: Any, *, formula: bool) -> int:
    from .instances.answer import No, Yes
    from .reductions.replay import Waiting, answer_to_json

    if isinstance(step, Waiting):
        measures = ", ".join(f"{name}={value:.6g}" for name, value in step.instance.size.measures().items())
        out.line(f"{step.path}")
        out.note(f"question {step.number}, a {type(step.instance).__name__} with {measures}")
        out.note(f"answer it, then: cubicwall lift {folder} ANSWER")
        out.document(pending=step.path, number=step.number, **step.instance.size.measures())
        return 0
    out.document(**answer_to_json(step))
    if isinstance(step, Yes):
        out.line("s SATISFIABLE")
        for line in _witness_lines(step.witness, ends_in_zero=formula):
            out.line(line)
    else:
        out.line("s UNSATISFIABLE" if isinstance(step, No) else str(getattr(step, "value", "s UNKNOWN")))
    return {Yes: 10, No: 20}.get(type(step), 0)


def _witness_lines(witness: tuple[int, ...], *, ends_in_zero: bool) -> list[str]:
    words = [str(v) for v in witness] + (["0"] if ends_in_zero else [])
    lines, line = [], "v"
    for word in words:
        if len(line) + 1 + len(word) > 78:
            lines.append(line)
            line = "v"
        line += f" {word}"
    return [*lines, line]


def _answer_fields(answer: Answer) -> dict[str, Any]:
    from .reductions.replay import answer_to_json

    return answer_to_json(answer)
