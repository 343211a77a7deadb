"""Values of any size and shape, there and back: over shared memory and over links that carry bytes only."""

from __future__ import annotations

import array
import gc
import hashlib
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.system.grids import Grid
from tests.system.moving import WAYS, Borrowed, a_chain, heavy

pytestmark = pytest.mark.system

np = pytest.importorskip("numpy")

KIB, MIB = 1024, 1024 * 1024


@pytest.fixture(scope="module", params=WAYS)
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    with a_chain(tmp_path_factory.mktemp(request.param), request.param) as grid:
        yield grid


@pytest.fixture(autouse=True)
def all_comes_back(chain: Grid) -> Iterator[None]:
    """No test leaves a segment leased or a descriptor open."""
    borrowed = Borrowed(chain)
    yield
    gc.collect()
    borrowed.check_back()


def there_and_back(grid: Grid, value: Any) -> Any:
    """Give what a worker gives that is given *value*, which has seen the same bytes."""

    def look(given: Any) -> Any:
        import hashlib
        import pickle

        return given, hashlib.sha256(pickle.dumps(given, 5)).hexdigest()

    given, seen = grid.one(look, value)
    assert seen == hashlib.sha256(pickle.dumps(pickle.loads(pickle.dumps(value, 5)), 5)).hexdigest()
    return given


def some_bytes(size: int) -> bytes:
    """Bytes in which every shift would be noticed."""
    return np.random.default_rng(size).bytes(size)


# -- sizes -----------------------------------------------------------------------------------------

AROUND_LIMITS = [
    limit + more for limit in (0, 4 * KIB, 64 * KIB, 256 * KIB, MIB) for more in (-1, 0, 1) if limit + more >= 0
]


@pytest.mark.parametrize("size", [*AROUND_LIMITS, 9 * MIB + 7])
@pytest.mark.parametrize("make", [bytes, bytearray, np.frombuffer])
def test_every_byte_arrives_around_every_limit(chain: Grid, size: int, make: Callable[[bytes], Any]) -> None:
    if make is np.frombuffer:
        data = np.frombuffer(some_bytes(size), dtype=np.uint8)
        assert np.array_equal(chain.one(lambda given: given, data), data)
    else:
        assert chain.one(lambda given: given, make(some_bytes(size))) == make(some_bytes(size))


def test_sizes_between_in_one_transfer_each_to_its_own(chain: Grid) -> None:
    sizes = [7 * MIB, 3, 70 * KIB, 0, 300 * KIB, 64 * KIB, 2 * MIB, 1]
    calls = [chain.template(lambda given: given[::-1], some_bytes(size)) for size in sizes]
    receivers = [chain.workers[place % 2] for place in range(len(sizes))]
    results = chain.O.transfer(calls, receivers, collect=True, transferTimeout=30)
    assert results == [some_bytes(size)[::-1] for size in sizes]


# -- kinds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "made",
    [
        np.arange(100_000.0),
        np.arange(100_000.0)[::-1],
        np.arange(400_000).reshape(2, -1)[:, ::2],
        np.asfortranarray(np.arange(120_000.0).reshape(300, 400)),
        np.broadcast_to(np.arange(50_000.0), (4, 50_000)),
        np.zeros((0, 5)),
        np.array(3.5),
        np.zeros(30_000, dtype=[("a", "i4"), ("b", "S7"), ("c", "f8", (2,))]),
        np.arange(50_000).astype("datetime64[s]"),
        np.arange(50_000, dtype=">i8"),
        np.arange(50_000, dtype=np.complex128),
        np.array([{"a": 1}, None, [2]], dtype=object),
        np.array(["ä" * 40] * 5_000),
        np.packbits(np.arange(1_000_000) % 2),
    ],
    ids=lambda made: f"{made.dtype.str}-{'x'.join(map(str, made.shape))}-{made.strides}"[:40],
)
def test_arrays_of_every_layout(chain: Grid, made: Any) -> None:
    given = chain.one(lambda value: value, made)
    assert type(given) is np.ndarray
    assert (given.dtype, given.shape) == (made.dtype, made.shape)
    assert np.array_equal(given, made)
    assert given.flags.writeable
    assert chain.one(lambda value: (value.flags.writeable, value.flags.aligned), made) == (True, True)


@pytest.mark.parametrize("size", [10, 100_000])
def test_other_buffers(chain: Grid, size: int) -> None:
    doubles = array.array("d", range(size))
    assert there_and_back(chain, doubles) == doubles
    assert there_and_back(chain, bytearray(some_bytes(size))) == some_bytes(size)
    assert chain.one(lambda view: bytes(view), np.frombuffer(some_bytes(size), dtype="u1")) == some_bytes(size)


def test_lists_of_bytes(chain: Grid) -> None:
    pieces = [some_bytes(size) for size in range(0, 30_000, 50)]
    assert there_and_back(chain, pieces) == pieces


def test_dicts_of_arrays_nested_deeply(chain: Grid) -> None:
    nested: Any = np.arange(5_000.0)
    for depth in range(60):
        nested = {"depth": depth, "below": nested, "beside": [np.full(2_000, depth), {depth: (some_bytes(300),)}]}
    given = there_and_back(chain, nested)
    for depth in reversed(range(60)):
        assert given["depth"] == depth
        assert np.array_equal(given["beside"][0], np.full(2_000, depth))
        assert given["beside"][0].flags.writeable
        assert given["beside"][1] == {depth: (some_bytes(300),)}
        given = given["below"]
    assert np.array_equal(given, np.arange(5_000.0))


def test_many_buffers_in_one_value(chain: Grid) -> None:
    arrays = {number: np.full(600 + number % 7, number, dtype=np.float64) for number in range(3_000)}
    given = there_and_back(chain, arrays)
    assert list(given) == list(arrays)
    assert all(np.array_equal(given[number], each) for number, each in arrays.items())


def test_the_same_array_twice_is_one_array_there(chain: Grid) -> None:
    shared = np.arange(50_000.0)

    def look(first: Any, second: Any, inside: Any) -> Any:
        first[0] = 7
        return second[0], inside["it"][0], first is second, inside["it"] is first

    assert chain.one(look, shared, shared, {"it": shared}) == (7, 7, True, True)
    assert shared[0] == 0


def test_a_hundred_thousand_small_objects_in_one_call(chain: Grid) -> None:
    objects = [{"number": number, "text": str(number), "tuple": (number, None)} for number in range(100_000)]
    assert there_and_back(chain, objects) == objects


@pytest.mark.parametrize("count", [200_000, pytest.param(10_000_000, marks=heavy)])
def test_long_lists_of_integers(chain: Grid, count: int) -> None:
    numbers = list(range(-5, count - 5))
    given, total = chain.one(lambda given: (given, sum(given)), numbers)
    assert total == sum(numbers)
    assert given == numbers


@pytest.mark.parametrize("rows", [100, 60_000])
def test_frames_of_pandas(chain: Grid, rows: int) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "number": np.arange(rows),
            "double": np.arange(rows) / 3,
            "text": [f"row {number}" for number in range(rows)],
            "kind": pd.Categorical(["a", "b"] * (rows // 2)),
            "when": pd.date_range("2020-01-01", periods=rows, freq="s"),
        },
        index=pd.Index(np.arange(rows)[::-1], name="back"),
    )
    given, there = chain.one(lambda given: (given, given.describe(include="all").to_json()), frame)
    pd.testing.assert_frame_equal(given, frame)
    assert there == frame.describe(include="all").to_json()
    given.loc[0, "double"] = 17.0
    assert frame.loc[0, "double"] != 17.0
    pd.testing.assert_series_equal(chain.one(lambda given: given["double"] + 1, frame), frame["double"] + 1)


# -- beyond all limits -----------------------------------------------------------------------------


@pytest.mark.parametrize("gibibytes", [pytest.param(6, marks=[heavy, pytest.mark.timeout(900)])])
def test_an_array_beyond_all_limits(chain: Grid, gibibytes: int) -> None:
    """Larger than 2**32 bytes, which is where lengths break; goes there only, to spare the machine."""
    numbers = np.arange(gibibytes * 2**27, dtype=np.float64)

    def look(given: Any) -> Any:
        return len(given), given[0], given[-1], [float(part.sum()) for part in np.array_split(given, 7)]

    expected = look(numbers)
    call = chain.template(look, numbers)
    assert chain.O.transfer(call, chain.workers[0], collect=True, transferTimeout=600) == [expected]
    length = gibibytes * 2**27
    call = chain.template(lambda: np.arange(length, dtype=np.float64))
    del numbers
    (given,) = chain.O.transfer(call, chain.workers[0], collect=True, transferTimeout=600)
    assert look(given) == expected


# -- what cannot travel ----------------------------------------------------------------------------


def test_what_cannot_travel_is_named_with_its_path_wherever_it_hides(chain: Grid) -> None:
    lock = threading.Lock()
    objects: list[Any] = [{"number": number} for number in range(100_000)]
    objects[77_777] = {"number": lock}
    hidden = {"arrays": {"a": np.zeros(500_000), "b": [np.zeros(10), (1, {"deep": lock})]}}
    for arguments, path in (
        ((objects,), "arguments[0][0][77777]['number']"),
        ((1, hidden), "arguments[0][1]['arrays']['b'][1][1]['deep']"),
    ):
        status = chain.O.transfer(chain.template(len, *arguments), chain.workers[0], collect=True)
        assert not status
        assert path in status.error
        assert "_thread.lock" in status.error
    assert chain.one(len, [1, 2]) == 2


def test_a_result_that_cannot_travel_is_named_with_its_path(chain: Grid) -> None:
    def make() -> Any:
        import threading

        return {"a": np.zeros(300_000), "items": [None] * 50_000 + [threading.Lock()]}

    (failed,) = chain.call(make)
    assert not failed
    assert "result['items'][50000]" in failed.error
    assert "_thread.lock" in failed.error
