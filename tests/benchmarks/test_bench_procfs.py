"""What is read out of /proc, from texts as Linux writes them."""

import os

import pytest
from benchmarks.procfs import (
    COOKIE,
    grown,
    has_cookie,
    parse_pss_kib,
    parse_schedstat_ns,
    parse_ticks,
    pids_of_run,
    pss_mib,
    schedstat_ns,
    ticks,
)

ROLLUP = """\
55d0c1a00000-7ffd5c1f9000 ---p 00000000 00:00 0                          [rollup]
Rss:                9876 kB
Pss:                4321 kB
Pss_Dirty:          1000 kB
Pss_Anon:           1111 kB
SwapPss:               7 kB
"""
STAT = "4711 (a b) (c)) S 1 2 3 0 -1 4194560 100 0 0 0 21 13 0 0 20 0 1 0 99 1000 50"


def test_pss_is_the_line_of_that_name_and_not_one_that_begins_or_ends_like_it():
    assert parse_pss_kib(ROLLUP) == 4321


def test_a_rollup_without_pss_is_an_error():
    with pytest.raises(ValueError, match="Pss"):
        parse_pss_kib("Rss: 1 kB\nSwapPss: 7 kB\n")


def test_ticks_are_user_plus_system_even_when_the_name_holds_brackets_and_blanks():
    assert parse_ticks(STAT) == 21 + 13


def test_schedstat_begins_with_the_time_on_a_cpu():
    assert parse_schedstat_ns("767440 399486 2\n") == 767440


def test_growth_counts_the_newly_born_in_full_and_the_dead_not_at_all():
    assert grown({1: 10, 2: 50}, {1: 14, 3: 5}) == 4 + 5


def test_a_cookie_is_found_whole_only():
    environ = f"A=1\0{COOKIE}=abc\0B=2\0".encode()
    assert has_cookie(environ, "abc")
    assert not has_cookie(environ, "ab")


def test_this_process_can_be_read():
    me = os.getpid()
    assert pss_mib([me]) > 1
    assert ticks([me])[me] >= 0
    assert schedstat_ns([me])[me] > 0


def test_a_process_that_is_gone_is_left_out():
    gone = 2**22 + 1  # beyond the largest pid of Linux
    assert pss_mib([gone]) == 0
    assert ticks([gone]) == {}
    assert schedstat_ns([gone]) == {}


def test_no_process_carries_an_unknown_cookie():
    assert pids_of_run("no such run") == []
