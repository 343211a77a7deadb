"""Names: taken, free, replaced, missing, from one thread and from many."""

from __future__ import annotations

import threading

import pytest

from softgrid._model.errors import BadArgument, Duplicate, Missing
from softgrid._store.named import NamedStore, StoreStatistics


@pytest.fixture
def store() -> NamedStore[object]:
    return NamedStore("object")


def test_what_is_added_is_given_back_as_the_same_object(store: NamedStore[object]) -> None:
    value = object()
    store.add("thing", value)
    assert store.get("thing") is value
    assert store.get("thing") is value, "getting does not take"


def test_adding_replaces_unless_told_not_to(store: NamedStore[object]) -> None:
    store.add("thing", 1)
    store.add("thing", 2)
    with pytest.raises(Duplicate, match=r"name: got 'thing', accepted is .*replace=True"):
        store.add("thing", 3, replace=False)
    assert store.get("thing") == 2


def test_a_free_name_is_taken_also_without_replace(store: NamedStore[object]) -> None:
    store.add("thing", 1, replace=False)
    assert store.names() == ("thing",)


def test_pop_gives_once(store: NamedStore[object]) -> None:
    store.add("thing", 1)
    assert store.pop("thing") == 1
    assert store.pop("thing") is None
    assert len(store) == 0


def test_none_is_a_value_like_any_other(store: NamedStore[object]) -> None:
    store.add("nothing", None)
    assert store.get("nothing", "default") is None
    assert store.pop("nothing", "default") is None


def test_get_must_find_unless_told_that_it_need_not(store: NamedStore[object]) -> None:
    store.add("known", 1)
    with pytest.raises(Missing, match=r"name: got 'thing', accepted is .*'known'.*mustExist=False"):
        store.get("thing")
    assert store.get("thing", "default", must_exist=False) == "default"


def test_pop_need_not_find_unless_told_that_it_must(store: NamedStore[object]) -> None:
    assert store.pop("thing", "default") == "default"
    with pytest.raises(Missing, match="none is kept"):
        store.pop("thing", must_exist=True)


def test_drop_forgets_only_what_it_was_shown(store: NamedStore[object]) -> None:
    value: list[int] = []
    store.add("thing", value)
    assert not store.drop("thing", [])
    assert not store.drop("nothing", None)
    assert store.drop("thing", value)
    assert not store.drop("thing", value)
    assert store.names() == ()
    assert store.statistics().popped == 1


def test_what_add_would_refuse_can_be_asked_before(store: NamedStore[object]) -> None:
    store.add("thing", 1)
    store.check_free("thing", replace=True)
    store.check_free("other", replace=False)
    with pytest.raises(Duplicate):
        store.check_free("thing", replace=False)
    with pytest.raises(BadArgument):
        store.check_free("", replace=True)
    assert store.names() == ("thing",)


def test_values_can_be_kept_where_others_look_them_up() -> None:
    kept: dict[str, int] = {}
    store = NamedStore("number", kept)
    store.add("one", 1)
    assert kept == {"one": 1}
    store.pop("one")
    assert kept == {}


def test_missing_is_a_key_error_that_reads_well(store: NamedStore[object]) -> None:
    with pytest.raises(KeyError) as caught:
        store.get("thing")
    assert not str(caught.value).startswith(("'", '"'))


def test_only_the_first_names_are_listed_in_an_error(store: NamedStore[object]) -> None:
    for number in range(20):
        store.add(f"n{number}", number)
    with pytest.raises(Missing, match=r"'n7', …\)"):
        store.get("thing")


@pytest.mark.parametrize("name", ["", None, 5, b"name", ["a"]])
def test_what_is_no_name_is_refused_everywhere(store: NamedStore[object], name: object) -> None:
    for call in (lambda: store.add(name, 1), lambda: store.get(name), lambda: store.pop(name)):  # type: ignore[arg-type]
        with pytest.raises(BadArgument, match="name: got"):
            call()


def test_statistics_count_what_came_and_went(store: NamedStore[object]) -> None:
    store.add("a", 1)
    store.add("a", 2)
    store.add("b", 3)
    store.pop("b")
    store.pop("b")
    assert store.statistics() == StoreStatistics(kept=1, added=3, replaced=1, popped=1)
    assert repr(store) == "NamedStore('object', kept=1)"
    assert "a" in store
    assert "b" not in store


def test_of_many_threads_that_want_one_name_exactly_one_gets_it(store: NamedStore[object]) -> None:
    start = threading.Barrier(8)
    won: list[int] = []

    def want(number: int) -> None:
        start.wait()
        for turn in range(50):
            try:
                store.add(f"name {turn}", number, replace=False)
            except Duplicate:
                continue
            won.append(turn)

    threads = [threading.Thread(target=want, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(50))


def test_of_many_threads_that_pop_exactly_one_gets_each_value(store: NamedStore[object]) -> None:
    for number in range(200):
        store.add(str(number), number)
    start = threading.Barrier(8)
    got: list[object] = []

    def take() -> None:
        start.wait()
        got.extend(store.pop(str(number), -1) for number in range(200))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(value for value in got if value != -1) == list(range(200))  # type: ignore[type-var]
