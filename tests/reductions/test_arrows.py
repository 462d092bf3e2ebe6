"""The graph of arrows: paths by name, what fits, what counts, and arrows from elsewhere."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import networkx as nx
import pytest
from cubicwall.instances.attention import TensorAttention
from cubicwall.instances.cnf import CNF, CNFSize
from cubicwall.instances.orthogonal_vectors import OrthogonalVectors
from cubicwall.reductions import arrows as module
from cubicwall.reductions.arrows import arrows, find_path, graph, paths
from cubicwall.reductions.feasibility import Prediction, predict, refusal
from cubicwall.reductions.reduction import Reduction
from cubicwall.reductions.splitting import split_and_list


def test_the_graph_is_a_networkx_digraph_from_cnf_to_attention() -> None:
    whole = graph()
    assert isinstance(whole, nx.DiGraph)
    assert nx.has_path(whole, "CNF", "TensorAttention")
    for _, _, name, attributes in whole.edges(keys=True, data=True):
        assert isinstance(attributes["arrow"], Reduction)
        assert attributes["arrow"].__name__ == name
        assert attributes["reference"]
        assert "{k}" in attributes["statement"]


def test_direct_means_split_and_list_then_signed_encoding() -> None:
    assert find_path("direct", CNF).names == ("split_and_list", "signed_encoding")
    assert find_path("direct", CNF, counting=True).names == ("split_and_list", "counting_encoding")
    assert find_path("direct", OrthogonalVectors).names == ("signed_encoding",)


def test_a_path_can_be_spelled_out_and_ends_where_it_says() -> None:
    path = find_path("split_and_list, signed_encoding", CNF, order=4)
    assert path.target is TensorAttention
    assert path.options == ({"order": 4}, {})
    assert find_path("split_and_list", CNF).target is OrthogonalVectors


@pytest.mark.parametrize(
    ("via", "source", "counting", "message"),
    [
        ("detour", CNF, False, "must name arrows or one of .*, not 'detour'"),
        ("signed_encoding", CNF, False, "signed_encoding takes OrthogonalVectors, not CNF"),
        (
            "signed_encoding,split_and_list",
            OrthogonalVectors,
            False,
            "split_and_list takes CNF, not TensorAtt",
        ),
        ("split_and_list,signed_encoding", CNF, True, "keep counts; signed_encoding decides only"),
        ("split_and_list,counting_encoding", CNF, False, "counting_encoding counts"),
        ("direct", TensorAttention, False, "split_and_list takes CNF, not TensorAttention"),
        ("", CNF, False, "not ''"),
    ],
)
def test_paths_that_do_not_fit_are_refused_by_name(
    via: str, source: type, counting: bool, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        find_path(via, source, counting=counting)


def test_path_search_finds_decisions_and_counts_apart() -> None:
    assert ("split_and_list", "signed_encoding") in set(paths("CNF"))
    assert list(paths("CNF", counting=True)) == [("split_and_list", "counting_encoding")]
    with pytest.raises(ValueError, match=r"'target' must be one of .*, not 'Nowhere'"):
        list(paths("CNF", "Nowhere"))


def test_every_path_found_can_be_looked_up() -> None:
    for names in paths("CNF"):
        assert find_path(",".join(names), CNF).names == names


class _Entries:
    def __init__(self, *loaded: Any) -> None:
        self.loaded = loaded

    def __call__(self, group: str) -> list[Any]:
        assert group == "cubicwall.arrows"
        return [_Entry(f"entry{i}", value) for i, value in enumerate(self.loaded)]


class _Entry(EntryPoint):
    def __new__(cls, name: str, value: Any) -> Any:
        entry = object.__new__(cls)
        vars(entry).update(name=name, value="", group="", loaded=value)
        return entry

    def __init__(self, name: str, value: Any) -> None:
        pass

    def load(self) -> Any:
        return vars(self)["loaded"]


def test_other_packages_add_arrows_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    def shortcut(cnf: CNF) -> Any:
        yield None

    arrow = Reduction(shortcut, split_and_list.contract)
    monkeypatch.setattr(module, "entry_points", _Entries(arrow))
    assert arrows()["shortcut"] is arrow
    assert ("shortcut", "signed_encoding") in set(paths("CNF"))


@pytest.mark.parametrize(
    ("loaded", "error"),
    [(print, TypeError), (split_and_list, ValueError)],
    ids=["no reduction", "repeated name"],
)
def test_bad_entry_points_are_refused(loaded: Any, error: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "entry_points", _Entries(loaded))
    with pytest.raises(error, match="entry0"):
        arrows()


def test_claims_compose_from_sizes_alone() -> None:
    splitting, encoding = find_path("direct", CNF, order=3).claims(CNFSize(30, 128, 3))
    assert splitting.target.measures() == {"N": 1024, "tuples": 2**30, "m": 128}
    assert encoding.target.measures()["d"] == 130
    assert encoding.calls == 21


def test_predicted_time_grows_like_two_to_the_n() -> None:
    path = find_path("direct", CNF, order=3)
    small, large = (predict(path, CNFSize(n, 100, 3)) for n in (30, 36))
    assert 50 < large.seconds / small.seconds < 80
    assert refusal(small) is None


def test_what_takes_hours_or_too_much_memory_is_refused_with_numbers() -> None:
    assert "hours" in (refusal(Prediction(8000.0, 1e6, 1e12)) or "")
    assert "GiB of memory" in (refusal(Prediction(1.0, 1e15, 1e12)) or "")
    assert "years" in (refusal(predict(find_path("direct", CNF), CNFSize(57, 200, 3))) or "")
    assert "GiB" in (refusal(predict(find_path("direct", CNF, order=2), CNFSize(80, 200, 3))) or "")
