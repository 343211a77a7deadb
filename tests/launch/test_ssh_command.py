"""How ssh is called: with the user's own configuration, without questions, and no less patient than the grid."""

from __future__ import annotations

import pytest

from softgrid._launch.ssh import SshOptions, ssh_command
from softgrid._model.addresses import parse_address


@pytest.mark.parametrize("tolerance_s", [1.0, 60.0, 3600.0])
def test_ssh_itself_is_more_patient_than_the_tolerance_and_not_for_ever(tolerance_s: float) -> None:
    words = ssh_command(parse_address("far"), SshOptions(["ssh"], False, 2.0, tolerance_s), "true")
    given = dict(word.split("=", 1) for word in words if "=" in word)
    patience_s = int(given["ServerAliveInterval"]) * int(given["ServerAliveCountMax"])
    assert tolerance_s < patience_s <= 1.25 * tolerance_s + 5
    assert words[0] == "ssh"
    assert words[-3:] == ["--", "far", "true"]
    assert "StrictHostKeyChecking" not in given


def test_new_hosts_are_accepted_only_where_that_was_asked_for() -> None:
    words = ssh_command(parse_address("alice@far"), SshOptions(["ssh", "-F", "x"], True, 2.0, 60.0), "true")
    assert words[:3] == ["ssh", "-F", "x"]
    assert "StrictHostKeyChecking=accept-new" in words
    assert words[words.index("-l") + 1] == "alice"
