"""A demo team for the first start: a bike shop, its assistant, two agents with passwords of this start's making."""

import json
import secrets
from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher

from handoff import teams, widgets
from handoff.models import Entry, Team, User, Widget

WIDGET = "Demo shop"
PHRASES = ("cancel*", "complain*", "my money back")
GREETING = "Hello, I am Tilly. Ask me about bikes, delivery, returns or the workshop."
ENTRIES = (
    (
        "What are your opening hours? When are you open?",
        "We are open **Monday to Friday from 9 to 18** and on Saturdays from 10 to 16. On Sundays the workshop is closed, "
        "but this chat is here all day, every day. If you would like to try a bike, come at least half an hour before we "
        "close, so that there is enough time to set the saddle for you.",
    ),
    (
        "How long does delivery take? When will my order arrive? Shipping time",
        "Bikes are built by hand when you order them, so delivery takes **5 to 8 working days**. Parts and clothing leave our "
        "store the same day if you order before 14:00 and reach you within 2 days. You get an e-mail with a tracking link as "
        "soon as your parcel is on its way, and you can change the address until then.",
    ),
    (
        "What does shipping cost? Delivery price, postage",
        "Shipping is **free for every bike** and for all orders above 60 euros. Below that it costs 4.90 euros. Bikes come "
        "in a large box, nine tenths assembled, with the one tool that you need to finish the job in about ten minutes.",
    ),
    (
        "Can I return an item? How do returns and refunds work? Send back",
        "Of course. You can return anything within **30 days**, bikes included, as long as it was ridden no more than a test "
        "ride. Write to us with your order number and we send you a label:\n\n1. Pack the item well, a bike in its box.\n"
        "2. Put the label on the outside.\n3. Hand it to the courier.\n\nThe money is back on your card within 5 working days.",
    ),
    (
        "What warranty or guarantee do your bikes have? Frame broken",
        "Every frame has a **ten-year warranty** and all other parts two years. The first service after 300 kilometres is on "
        "us: cables stretch and spokes settle on a new bike, and we would like to see it again. Keep your order number, it is "
        "all the paper you need.",
    ),
    (
        "Which frame size do I need? How tall must I be? Bike size",
        "Measure the inside of your leg in bare feet and multiply by 0.66: that is the frame height in centimetres. As a rule "
        "of thumb, **size M fits from 1.68 to 1.80 m**, size L up to 1.90 m and XL above. Between two sizes take the smaller "
        "one for quick rides, the larger one for long tours.",
    ),
    (
        "Do you offer bike repair and service? Workshop appointment",
        "Yes, for bikes of every make. A small service costs 59 euros, a full one 129 euros, parts not included. Bring the "
        "bike in the morning and most jobs are done the next evening. In spring it gets busy, so **book a week ahead**.",
    ),
    (
        "How can I pay? Payment methods, credit card, invoice, instalments",
        "You can pay by card, bank transfer, or in **12 monthly instalments** without interest for bikes above 900 euros. In "
        "the shop we take cash as well. Companies and schools may order on invoice.",
    ),
    (
        "How far does the electric bike go? E-bike battery range",
        "The *Ebb* goes **90 to 120 kilometres** on one charge in the eco mode and about 60 with full support in the hills. "
        "The battery charges in four and a half hours from any socket and comes off with a key, so you can charge it at your desk.",
    ),
)


@dataclass(frozen=True)
class Credentials:
    name: str
    email: str
    password: str


def fill() -> list[Credentials]:
    """Make the demo team in an empty database; returns how its agents sign in, or nothing if there is a team already."""
    if Team.select().exists():
        return []
    owner, ada = _person("Ada Finch")
    colleague, ben = _person("Ben Okafor")
    team, _ = teams.found("Tidewater Bikes", "team", owner)
    teams.join(team, colleague, "member")
    tilly = {"color": "#0b6e6e", "greeting": GREETING, "phrases": json.dumps(PHRASES)}
    assistant = teams.add_assistant(team, "Tilly", **tilly)
    teams.add_assistant(team, "Workshop desk", color="#8a4b08", handoff="announced")
    for question, answer in ENTRIES:
        Entry.create(assistant=assistant, question=question, answer=answer)
    teams.add_widget(
        assistant,
        WIDGET,
        secrets.token_urlsafe(12),
        launcher="Questions?",
        suggestions=json.dumps(["How long does delivery take?", "Which frame size do I need?", "Can I return an item?"]),
    )
    return [ada, ben]


def widget() -> dict[str, Any] | None:
    """How the demo shop's widget looks, or None without a demo."""
    key = Widget.select(Widget.key).where(Widget.name == WIDGET).order_by(Widget.created_at).limit(1).scalar()
    found = widgets.find(key)
    return found and widgets.look(found)


def first_owner() -> User | None:
    """Whom a later start offers a sign-in link."""
    user: User | None = User.select().order_by(User.created_at, User.id).first()
    return user


def _person(name: str) -> tuple[User, Credentials]:
    email = f"{name.split()[0].lower()}-{secrets.randbelow(9000) + 1000}@tidewater.example"
    password = secrets.token_urlsafe(9)
    user = User.create(name=name, email=email, password_hash=PasswordHasher().hash(password))
    return user, Credentials(name, email, password)
