"""The script by which somebody at another machine joins a grid with nothing but a Python there.

It carries softgrid itself (``_launch.bundle``) and no password: it asks for that when it runs. Its lines are short and
none of it is indented, so that it can be pasted at a prompt as well.
"""

from __future__ import annotations

from softgrid._io.ports import own_address
from softgrid._launch.bundle import boot, make_bundle
from softgrid._model.roles import DOWNGRIDS, LAUNCHABLE
from softgrid._node.node import Node

WIDTH = 100
ANY = ("0.0.0.0", "::")
LOOPBACK = ("127.", "::1", "localhost")

_TEXT = """\
# Joins the grid of {name}.
# Save it and run it with Python 3.10 or newer: python3 join.py [--role ROLE] [--password-file FILE]
# or paste it at the prompt of one. Nothing has to be installed, and nothing is left behind.
# It holds no password: you are asked for that of the executor above. ROLE is one of {roles}.
{note}ROLE = {role!r}
BUNDLE = \"\"\"\\
{bundle}
\"\"\"
{boot}del BUNDLE
from softgrid._api.by_hand import main
main({address}, {port}, ROLE)
"""
_NOTE = """\
# THIS MACHINE ONLY: the executor listens at {address}. Others can join when it is made with an address of its machine.
"""


def launch_script(node: Node) -> str:
    """Give the script for those who may stand directly below *node*; raises Refused where nobody may."""
    roles = [role for role in reversed(LAUNCHABLE) if role in DOWNGRIDS[node.spec.role] & node.spec.accepted]
    if not roles:
        return f"# Nobody may join below {node.name}.\n"
    address = own_address() if node.spec.bind_host in ANY else node.spec.bind_host
    import base64

    encoded = base64.b64encode(make_bundle()).decode()
    return _TEXT.format(
        name=ascii(node.name)[1:-1],
        roles=", ".join(roles),
        note=_NOTE.format(address=ascii(address)[1:-1]) if address.startswith(LOOPBACK) else "",
        role=roles[0],
        bundle="\n".join(encoded[start : start + WIDTH] for start in range(0, len(encoded), WIDTH)),
        boot=boot('__import__("base64").b64decode(BUNDLE)'),
        address=ascii(address),
        port=node.grid_name.port,
    )
