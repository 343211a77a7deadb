"""How Sphinx builds these pages; `make docs` runs it with every warning an error."""

from importlib.metadata import version as version_of

project = "softgrid"
author = "The softgrid maintainers"
copyright = f"{author}, AGPL-3.0-or-later"  # noqa: A001 - the name that Sphinx reads
release = version_of("softgrid")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# what others document: links to it would need their inventories, and so a network at build time
nitpick_ignore_regex = [
    (r"py:.*", r"(collections|concurrent|datetime|os|pathlib|types|typing)\..*"),
    (r"py:.*", r"pysimplelog\..*"),
    # the base of all errors is no public name
    (r"py:class", r"softgrid\._model\.errors\.SoftgridError"),
    # types with parameters inside, which autodoc cuts at their commas
    (r"py:.*", r".*\[.*"),
]

html_theme = "furo"
html_title = f"softgrid {release}"
html_show_sourcelink = False
