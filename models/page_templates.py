"""page_templates: the texts in templates/, with figures put in. An unknown name in a template is an error."""

from __future__ import annotations

from pathlib import Path

import jinja2


def page_template(name: str) -> jinja2.Template:
    """Read a template; in HTML all that is put in is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)
