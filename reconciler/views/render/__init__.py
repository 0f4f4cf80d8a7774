"""A plan for readers: text for terminals, Markdown for reviews, JSON and YAML for programs. Pure."""

from reconciler.views.render.form import plan_from_json, render_json, render_yaml, to_form
from reconciler.views.render.markdown import render_markdown
from reconciler.views.render.ranges import fold, unfold
from reconciler.views.render.text import render_text

__all__ = [
    "fold",
    "plan_from_json",
    "render_json",
    "render_markdown",
    "render_text",
    "render_yaml",
    "to_form",
    "unfold",
]
