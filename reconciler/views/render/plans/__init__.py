"""Renders a plan: text for terminals, Markdown for reviews, JSON and YAML for programs."""

from reconciler.views.render.plans.form import plan_from_json, render_json, render_yaml, to_form
from reconciler.views.render.plans.markdown import render_markdown
from reconciler.views.render.plans.text import render_text

__all__ = ["plan_from_json", "render_json", "render_markdown", "render_text", "render_yaml", "to_form"]
