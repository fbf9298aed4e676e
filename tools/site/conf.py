"""How Sphinx reads the pages that ``tools.site`` lays out."""

project = "delrec_kit"
author = "the delrec_kit authors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nb_execution_mode = "off"  # they were executed by papermill, in a run directory
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing", "mystnb.unknown_mime_type", "ref.python"]  # links into the sources; widgets
autodoc_default_options = {"members": True, "undoc-members": False}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
exclude_patterns = ["**.ipynb_checkpoints"]
html_theme = "pydata_sphinx_theme"
html_title = "delrec_kit"
html_show_sourcelink = False
html_theme_options = {"show_prev_next": True, "navbar_align": "left", "secondary_sidebar_items": ["page-toc"]}
