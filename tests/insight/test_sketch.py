"""The measures of a picture: nothing overlaps, everything is inside, at three nodes and at two hundred."""

from __future__ import annotations

import math
import random
from itertools import combinations

import pytest

from softgrid._insight.sketch import ROOMY, DrawnNode, Sketch, make_sketch
from softgrid._model.errors import BadArgument, MalformedName

Grid = tuple[list[str], list[tuple[str, str]]]
ALL_FIELDS = "${role}\n${name}\n${pid}\n${address}\n${port}"


def name(role: str, number: int) -> str:
    return f"{role}|{role.title()}@10.0.0.7[{15000 + number}]:{5000 + number}"


def a_grid(routers: int, managers: int, workers: int) -> Grid:
    """Routers under the orchestrator, managers spread over routers, workers over managers."""
    names, edges = [name("orchestrator", 0)], []
    above = names[:]
    for role, count in (("router", routers), ("manager", managers), ("worker", workers)):
        level = [name(role, len(names) + number) for number in range(count)]
        edges += [(above[number % len(above)], lower) for number, lower in enumerate(level)]
        names += level
        above = level or above
    return names, edges


def sketch(grid: Grid, bridges: list[tuple[str, str]] | None = None, labels: str = "${role}\n${pid}") -> Sketch:
    return make_sketch(*grid, bridges or [], labels)


GRIDS = [(0, 0, 0), (0, 0, 2), (0, 1, 1), (1, 2, 4), (0, 3, 15), (3, 6, 40), (15, 35, 160), (0, 0, 300)]


@pytest.mark.parametrize("size", GRIDS)
def test_no_two_nodes_overlap(size: tuple[int, int, int]) -> None:
    for one, other in combinations(sketch(a_grid(*size)).nodes, 2):
        assert math.hypot(one.x - other.x, one.y - other.y) >= (one.across + other.across) / 2


def an_uneven_grid(seed: int) -> Grid:
    """As many executors as in the largest picture, each under anybody who may have it: branches of every depth."""
    rng = random.Random(seed)
    names, edges = [name("orchestrator", 0)], []
    above = names[:]
    for role, count in (("router", 15), ("manager", 35), ("worker", 160)):
        level = [name(role, len(names) + number) for number in range(count)]
        for number, lower in enumerate(level):
            edges.append((rng.choice(above + level[:number] if role == "router" else above), lower))
        names += level
        above = level
    return names, edges


@pytest.mark.parametrize("seed", range(12))
def test_no_two_nodes_of_an_uneven_grid_overlap_and_all_of_them_can_be_read(seed: int) -> None:
    nodes = sketch(an_uneven_grid(seed)).nodes
    for one, other in combinations(nodes, 2):
        assert math.hypot(one.x - other.x, one.y - other.y) >= (one.across + other.across) / 2
    assert min(node.label.size for node in nodes) >= 5.0


def test_whoever_has_too_little_room_on_its_ring_stands_farther_out() -> None:
    top, router, deep = name("orchestrator", 0), name("router", 1), name("router", 2)
    crowded = [name("manager", number) for number in (3, 4)]
    workers = [name("worker", number) for number in range(5, 165)]
    edges = [(top, router), (router, deep), *((router, manager) for manager in crowded)]
    edges += [(crowded[number % 2], worker) for number, worker in enumerate(workers[:4])]
    edges += [(deep, worker) for worker in workers[4:]]
    drawn = {str(node.name): node for node in sketch(([top, router, deep, *crowded, *workers], edges)).nodes}
    one, other = (drawn[manager] for manager in crowded)
    far, usual = [math.hypot(node.x, node.y) for node in (one, drawn[deep])]
    assert far > usual
    assert max(math.hypot(drawn[worker].x, drawn[worker].y) for worker in workers[:4]) > far + one.across
    assert one.across == other.across > drawn[workers[0]].across


@pytest.mark.parametrize("labels", ["${role}\n${pid}", ALL_FIELDS])
@pytest.mark.parametrize("size", GRIDS)
def test_everything_lies_inside(size: tuple[int, int, int], labels: str) -> None:
    found = sketch(a_grid(*size), labels=labels)
    for node in found.nodes:
        ends = [(node.x - node.across / 2, node.y - node.across / 2), (node.x + node.across / 2, node.y)]
        if node.label.anchor != "center":
            length = 0.6 * len(node.label.text) * node.label.size / 72
            far = 1 + length / math.hypot(node.label.x, node.label.y)
            ends.append((node.label.x * far, node.label.y * far))
        for x, y in ends:
            assert found.left <= x <= found.left + found.width
            assert found.bottom <= y <= found.bottom + found.height


def leaves(found: Sketch) -> list[DrawnNode]:
    return [node for node in found.nodes if node.name.role == "worker"]


def test_three_nodes_are_large_and_labelled_inside() -> None:
    for node in sketch(a_grid(0, 0, 2), labels=ALL_FIELDS).nodes:
        assert node.across > 1
        assert node.label.is_inside
        assert node.label.size >= 8
        assert node.label.text.count("\n") == 4


@pytest.mark.parametrize("size", [(0, 0, 0), (0, 0, 2), (1, 2, 4), (0, 3, 12)])
def test_labels_inside_fit_into_their_nodes(size: tuple[int, int, int]) -> None:
    for node in sketch(a_grid(*size)).nodes:
        lines = node.label.text.split("\n")
        assert 0.6 * max(map(len, lines)) * node.label.size < node.across * 72
        assert 1.2 * len(lines) * node.label.size < node.across * 72


@pytest.mark.parametrize("size", GRIDS)
def test_the_root_is_in_the_centre(size: tuple[int, int, int]) -> None:
    root = sketch(a_grid(*size)).nodes[0]
    assert (root.name.role, root.x, root.y) == ("orchestrator", 0.0, 0.0)


def test_two_hundred_nodes_are_small_and_their_labels_run_outwards_on_one_line() -> None:
    found = sketch(a_grid(15, 35, 160))
    for node in leaves(found):
        assert node.across < ROOMY
        assert "\n" not in node.label.text
        assert math.hypot(node.label.x, node.label.y) > math.hypot(node.x, node.y) + node.across / 2
        assert -90 <= node.label.rotation <= 90, "never upside down"
        assert node.label.size >= 7
    assert max(found.width, found.height) < 18


def test_labels_of_neighbours_do_not_overlap() -> None:
    found = sketch(a_grid(15, 35, 160))
    for one, other in combinations(leaves(found), 2):
        apart = math.hypot(one.label.x - other.label.x, one.label.y - other.label.y) * 72
        assert apart >= max(one.label.size, other.label.size)


def test_nodes_above_others_are_larger_than_the_leaves() -> None:
    found = sketch(a_grid(15, 35, 160))
    assert min(n.across for n in found.nodes if n.name.role != "worker") > max(n.across for n in leaves(found))


def test_a_grid_larger_than_the_page_gets_smaller_nodes_not_a_larger_page() -> None:
    found = sketch(a_grid(0, 0, 3000))
    assert max(found.width, found.height) < 32
    assert 0 < leaves(found)[0].across < 0.05


def test_the_same_grid_gives_the_same_picture() -> None:
    assert sketch(a_grid(3, 6, 40)) == sketch(a_grid(3, 6, 40))


@pytest.mark.parametrize("size", [(0, 0, 2), (15, 35, 160)])
def test_a_bridge_goes_round_the_node_in_the_centre(size: tuple[int, int, int]) -> None:
    grid = a_grid(*size)
    workers = [text for text in grid[0] if text.startswith("worker")]
    found = sketch(grid, [(workers[0], workers[len(workers) // 2])])
    ((start, bend, end),) = found.bridges
    middle = [(start[axis] + 2 * bend[axis] + end[axis]) / 4 for axis in (0, 1)]
    assert math.hypot(*middle) > found.nodes[0].across / 2
    assert found.bottom <= middle[1] <= found.bottom + found.height


def test_a_bridge_is_drawn_once_whichever_way_it_is_given() -> None:
    grid = a_grid(0, 0, 3)
    one, other = grid[0][1], grid[0][2]
    assert len(sketch(grid, [(one, other), (other, one), (one, other)]).bridges) == 1


def test_a_bridge_to_the_centre_can_be_drawn() -> None:
    grid = a_grid(0, 1, 1)
    assert len(sketch(grid, [(grid[0][0], grid[0][2])]).bridges) == 1


def test_labels_are_made_from_the_format() -> None:
    found = sketch(a_grid(0, 0, 1), labels=ALL_FIELDS + " $$ ${pid}")
    assert found.nodes[1].label.text == "worker\nWorker\n15001\n10.0.0.7\n5001 $ 15001"
    assert sketch(a_grid(0, 0, 1), labels="").nodes[1].label.text == ""


@pytest.mark.parametrize("labels", ["${none}", "$", "${role", "${}", None, 5])
def test_formats_with_other_fields_are_refused(labels: str) -> None:
    with pytest.raises(BadArgument, match=r"labels_format: got .*\$\{role\}, \$\{name\}, \$\{address\}"):
        sketch(a_grid(0, 0, 1), labels=labels)


def test_bad_grids_are_refused() -> None:
    names, edges = a_grid(0, 0, 2)
    with pytest.raises(BadArgument, match="names: got"):
        make_sketch([], [], [], "")
    with pytest.raises(MalformedName, match="names: got 'worker'"):
        make_sketch([*names, "worker"], edges, [], "")
    for bridge in ((names[1], names[1]), (names[1], name("worker", 99)), ("x", names[1])):
        with pytest.raises(BadArgument, match="bridges: got"):
            make_sketch(names, edges, [bridge], "")
