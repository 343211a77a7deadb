"""The page: sections are renewed one by one and keep their order."""

from benchmarks.page import render, sections
from benchmarks.plan import WORKLOADS

FACTS = {"cores": "2"}


def test_what_is_written_is_read_back_by_workload():
    page = render("cmd", FACTS, {"rtt1": "## A\n\ntext", "import": "## B"})
    assert sections(page) == {"rtt1": "## A\n\ntext", "import": "## B"}


def test_sections_stand_in_the_order_of_the_plan():
    keys = [w.key for w in WORKLOADS]
    page = render("cmd", FACTS, dict.fromkeys(reversed(keys), "text"))
    assert list(sections(page)) == keys


def test_a_section_of_a_workload_that_is_no_more_is_dropped():
    assert sections(render("cmd", FACTS, {"gone": "text"})) == {}


def test_the_page_tells_the_command_and_the_machine():
    page = render("the command", FACTS, {})
    assert "`the command`" in page
    assert "* cores: 2" in page


def test_a_page_without_sections_has_none():
    assert sections("# Benchmarks\n\nnothing yet\n") == {}
