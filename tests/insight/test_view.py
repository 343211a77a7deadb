"""What an executor sees of its grid, as what is drawn."""

from __future__ import annotations

from tests.harness.trees import A1, A2, B1, STRANGER, TOP, A, B, R, tree_of

from softgrid._insight.view import view_from


def test_the_orchestrator_sees_everybody() -> None:
    view = view_from(tree_of(TOP), [])
    assert view.executors == [TOP, A, A1, A2, R, B, B1]
    assert view.connections == [(TOP, A), (A, A1), (A, A2), (TOP, R), (R, B), (B, B1)]
    assert view.bridges == []


def test_others_see_their_way_up_and_what_is_below() -> None:
    assert view_from(tree_of(R), [])[:2] == ([TOP, R, B, B1], [(TOP, R), (R, B), (B, B1)])
    assert view_from(tree_of(B1), [])[:2] == ([TOP, R, B, B1], [(TOP, R), (R, B), (B, B1)])


def test_a_bridge_that_both_ends_tell_of_is_one() -> None:
    (bridge,) = view_from(tree_of(TOP), [(A1, B1), (B1, A1), (A1, B1)]).bridges
    assert set(bridge) == {A1, B1}


def test_bridges_that_lead_out_of_what_is_seen_are_left_out() -> None:
    assert view_from(tree_of(R), [(B1, A1), (B1, STRANGER), (R, B1)]).bridges == [tuple(sorted((B1, R)))]
