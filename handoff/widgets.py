"""Widgets: the front doors on web sites."""

import json
from typing import Any

from handoff import customers
from handoff.identity import CustomerToken
from handoff.models import Assistant, Widget


def find(key: Any, customer: CustomerToken | None = None) -> Any:
    """The widget of a key, with its assistant's name and color, or None.

    Where the key was rotated, a customer in mid-conversation goes on by the widget of their token.
    """
    if not isinstance(key, str) or len(key) > 100 or not key.isascii() or not key.isprintable():
        return None
    widgets = (
        Widget.select(
            Widget,
            Assistant.name.alias("assistant_name"),
            Assistant.color.alias("assistant_color"),
            Assistant.greeting.alias("assistant_greeting"),
        )
        .join(Assistant)
        .objects()
    )
    widget = widgets.where(Widget.key == key).first()
    if widget is None and customer is not None and customers.has_active(customer):
        widget = widgets.where(Widget.id == customer.widget_id).first()
    return widget


def look(widget: Any) -> dict[str, Any]:
    """What a widget shows of itself."""
    return {
        "key": widget.key,
        "name": widget.name,
        "assistant": {"name": widget.assistant_name, "color": widget.assistant_color},
        "greeting": widget.greeting or widget.assistant_greeting,
        "color": widget.color or widget.assistant_color,
        "launcher": widget.launcher,
        "suggestions": json.loads(widget.suggestions),
        "language": widget.language,
    }


def allows(widget: Any, origin: str) -> bool:
    """Whether a site may carry the widget; an empty list allows all."""
    sites = json.loads(widget.sites)
    return not sites or origin in sites
