"""Reduce here, answer anywhere, lift back: a reduction that waits on disk for its answers.

Reductions are deterministic functions of their source. So the state of one that waits for an
outside program is its source, its path and the answers so far: `lift` runs it again with those,
checks by hash that it asks the same instances, and stops at the first question that has no
answer yet.

A folder holds
    state.json           schema, version, path, options, hashes of the source and of every instance asked
    source.*             the source instance
    pending.npz          the instance to be answered next, while there is one
    answer-0000.*        the answers so far: ``.npy`` for an attention output, ``.json`` otherwise

Glossary
--------
pending  the instance that the outside program is to answer.
lift     carry an answer back to the source, or on to the next instance.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from ..instances.answer import Answer, Count, No, Undecided, Yes
from ..instances.archives import atomic_write
from ..instances.attention import TensorAttention
from ..instances.attention_gradient import AttentionGradient
from ..instances.cnf import CNF
from ..instances.orthogonal_vectors import OrthogonalVectors
from ..instances.provenance import SCHEMA, VERSION
from .arrows import find_path
from .reduction import OracleError

SUFFIX: dict[type, str] = {
    CNF: ".cnf",
    OrthogonalVectors: ".npz",
    TensorAttention: ".npz",
    AttentionGradient: ".npz",
}
STATE = "state.json"


@dataclass(frozen=True)
class Waiting:
    """The reduction waits: `instance` is in the file `path`, question number `number`."""

    instance: Any
    path: FilePath
    number: int


class BreachError(ValueError):
    """The answer to be lifted visibly breaks the oracle's promise; nothing was recorded."""


class _NoAnswerYetError(Exception):
    def __init__(self, instance: Any) -> None:
        self.instance = instance


def begin(
    source: CNF | OrthogonalVectors,
    folder: FilePath,
    *,
    via: str = "direct",
    order: int = 3,
    counting: bool = False,
    **options: Any,
) -> Waiting | Answer:
    """Start reducing `source` in a new `folder`, up to the first instance that wants an answer.

    Parameters
    ----------
    source : CNF or OrthogonalVectors
        The question.
    folder : pathlib.Path
        Made here; must not exist or be empty.
    via, order, counting, **options
        The path, as for `find_path`; options that JSON can hold.

    Returns
    -------
    Waiting or Answer
        An answer at once where the source needs none (a set without vectors).

    Raises
    ------
    FileExistsError
        If the folder has something in it.
    """
    find_path(via, type(source), counting=counting, order=order, **options)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"Argument 'folder' must be a new or an empty folder, not {str(folder)!r}.")
    folder.mkdir(parents=True, exist_ok=True)
    source.write(folder / f"source{SUFFIX[type(source)]}")
    state = {
        "schema": SCHEMA,
        "version": VERSION,
        "source": type(source).__name__,
        "sha256": source.sha256,
        "via": via,
        "order": order,
        "counting": counting,
        "options": options,
        "asked": [],
        "answers": [],
    }
    return _advance(folder, source, state, None)


def lift(folder: FilePath, answer: FilePath) -> Waiting | Answer:
    """Answer the pending instance of `folder` by the file `answer` and go on.

    Parameters
    ----------
    folder : pathlib.Path
        Made by `begin`.
    answer : pathlib.Path
        An attention output as ``.npy`` or ``.npz`` with the one array ``output``; for other
        instances ``.json``: ``{"answer": "yes", "witness": [...]}``, ``{"answer": "no"}`` or
        ``{"answer": "count", "value": 3}``.

    Returns
    -------
    Waiting or Answer
        The next instance to be answered, or the answer to the source.

    Raises
    ------
    ValueError
        If the folder is not one of ours, was changed, waits for nothing, or the answer cannot be
        read. The folder is then as it was.
    BreachError
        If the answer cannot be right. The folder is then as it was, too.
    """
    state = _read_state(folder)
    if len(state["answers"]) == len(state["asked"]):
        raise ValueError(f"Argument 'folder' must hold a waiting reduction; {str(folder)!r} is finished.")
    source = _read_source(folder, state)
    reply = _read_reply(answer)
    number = len(state["answers"])
    name = f"answer-{number:04d}{'.npy' if isinstance(reply, np.ndarray) else '.json'}"
    return _advance(folder, source, state, (name, reply))


def source_kind(folder: FilePath) -> str:
    """Return the name of the source's type, ``CNF`` or ``OrthogonalVectors``. ValueError as for `lift`."""
    return str(_read_state(folder)["source"])


def answer_to_json(answer: Answer) -> dict[str, Any]:
    """Write an answer as JSON can hold it; `answer_from_json` reads it back."""
    if isinstance(answer, Yes):
        return {"answer": "yes", "witness": [int(i) for i in answer.witness]}
    if isinstance(answer, Count):
        return {"answer": "count", "value": answer.value}
    if isinstance(answer, Undecided):
        return {"answer": "undecided", "reason": answer.reason, "breach": answer.breach}
    return {"answer": "no"}


def answer_from_json(fields: Any) -> Answer:
    """Read an answer. Raises ValueError where it is none."""
    match fields:
        case {"answer": "yes", "witness": [*witness]} if all(type(i) is int for i in witness):
            return Yes(tuple(witness))
        case {"answer": "count", "value": int(value)} if value >= 0 and type(value) is int:
            return Count(value)
        case {"answer": "undecided", "reason": str(reason), **rest}:
            return Undecided(reason, breach=rest.get("breach") is True)
        case {"answer": "no"}:
            return No()
    raise ValueError(
        'An answer must be {"answer": "yes", "witness": [integers]}, {"answer": "no"}, '
        f'{{"answer": "count", "value": n}} or {{"answer": "undecided", "reason": "..."}}, not {fields!r}.'
    )


def _advance(
    folder: FilePath, source: Any, state: dict[str, Any], new: tuple[str, Any] | None
) -> Waiting | Answer:
    """Replay all answers and the `new` one; write to the folder only once that has gone well."""
    bound = {"order": state["order"], **state.get("options", {})}
    path = find_path(state["via"], type(source), counting=state["counting"], **bound)
    answers = [_read_reply(folder / name) for name in state["answers"]]
    if new is not None:
        answers.append(new[1])
        state["answers"].append(new[0])
    asked = 0

    def replay(instance: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked <= len(state["asked"]) and state["asked"][asked - 1] != instance.sha256:
            raise ValueError(f"question {asked - 1} is not the one that was asked before")
        if asked > len(answers):
            raise _NoAnswerYetError(instance)
        return answers[asked - 1]

    pending = folder / "pending.npz"
    result: Waiting | Answer
    try:
        result, _ = path.run(source, replay)
    except OracleError as failure:
        cause = failure.__cause__
        if not isinstance(cause, _NoAnswerYetError):
            raise ValueError(f"Folder {str(folder)!r} does not replay: {cause}.") from failure
        result = Waiting(cause.instance, pending, len(answers))
    if isinstance(result, Undecided) and result.breach:
        raise BreachError(result.reason)
    if new is not None:
        with atomic_write(folder / new[0]) as stream:
            if isinstance(new[1], np.ndarray):
                np.save(stream, new[1], allow_pickle=False)
            else:
                stream.write(json.dumps(answer_to_json(new[1])).encode())
    if isinstance(result, Waiting):
        result.instance.write(pending)
        state["asked"].append(result.instance.sha256)
    else:
        pending.unlink(missing_ok=True)
    _write_state(folder, state)
    return result


def _write_state(folder: FilePath, state: dict[str, Any]) -> None:
    with atomic_write(folder / STATE) as stream:
        stream.write(json.dumps(state, indent=1).encode())


def _read_state(folder: FilePath) -> dict[str, Any]:
    try:
        state = json.loads((folder / STATE).read_text())
    except (OSError, ValueError) as problem:
        raise ValueError(
            f"Argument 'folder' must be made by reduce; {str(folder)!r}: {problem}."
        ) from problem
    if not isinstance(state, dict) or state.get("schema") != SCHEMA:
        raise ValueError(f"File {str(folder / STATE)!r} must have schema {SCHEMA}.")
    return state


def _read_source(folder: FilePath, state: dict[str, Any]) -> Any:
    kind: Any = {t.__name__: t for t in SUFFIX}[state["source"]]
    source = kind.read(folder / f"source{SUFFIX[kind]}")
    if source.sha256 != state["sha256"]:
        raise ValueError(f"The source in {str(folder)!r} is not the one that the reduction began with.")
    return source


def _read_reply(path: FilePath) -> Any:
    try:
        if path.suffix == ".json":
            return answer_from_json(json.loads(path.read_text()))
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return np.asarray(loaded, dtype=np.float64)
        with loaded:
            return np.asarray(loaded["output"], dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as problem:
        raise ValueError(
            f"Argument 'answer' must be a readable answer; {str(path)!r}: {problem}."
        ) from problem
