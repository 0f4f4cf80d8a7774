"""What this process has read as a secret is in no text that leaves it, in whatever form it is written."""

from __future__ import annotations

import io
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Unreachable, excerpt, note_secrets
from drivers.base.support.known_secrets import MASK, SHORTEST, KnownSecrets
from reconciler.commands.crash_report import _Hiding

SECRET = 'Tr0ub4dor "und" Drei@x/y'


OTHERS = [f"{number:05}-of-another" for number in range(200)]
"""More than are sought one by one."""


@pytest.fixture(params=[[], OTHERS], ids=["few", "many"])
def known(request: pytest.FixtureRequest) -> KnownSecrets:
    found = KnownSecrets()
    found.note(*request.param)
    found.note(SECRET, "calvin")
    return found


@pytest.mark.parametrize(
    "text",
    [
        f"wrong password {SECRET} for root",
        f"{SECRET}{SECRET}",
        json.dumps({"Message": f"no {SECRET}"}),
        repr(f"no '{SECRET}'"),
        f"https://root:{quote(SECRET, safe='')}@bmc.example",
        f"?password={quote(SECRET)}",
        "login root/calvin failed",
    ],
)
def test_a_secret_is_hidden_in_each_form(known: KnownSecrets, text: str) -> None:
    shown = known.hidden(text)
    assert MASK in shown
    assert not [word for word in ("Tr0ub4dor", "Drei", "calvin") if word in shown]


@pytest.mark.parametrize("text", ["", "calving", "uncalvin", "all is well", "Tr0ub4dor und", "Tr0u"])
def test_other_text_stays(known: KnownSecrets, text: str) -> None:
    assert known.hidden(text) == text


def test_a_short_secret_is_not_hidden_in_data(known: KnownSecrets) -> None:
    """A model that is called like a password stays a model."""
    assert known.hidden("calvin", least=12) == "calvin"
    assert known.hidden(SECRET, least=12) == MASK


@given(
    st.lists(st.text("abcdefgh01", min_size=8, max_size=12), min_size=1, max_size=80),
    st.text("abcdefgh01 ", max_size=60),
    st.text("abcdefgh01 ", max_size=60),
    st.sampled_from([[], OTHERS]),
)
def test_none_of_many_is_left(secrets: list[str], before: str, after: str, others: list[str]) -> None:
    """As many as a fleet has whose BMCs have a password each."""
    known = KnownSecrets()
    known.note(*secrets, *others)
    shown = known.hidden(f"{before}{secrets[0]}{after}")
    assert not [one for one in secrets if one in shown]


@given(st.text(min_size=SHORTEST), st.text())
def test_whatever_is_hidden_nothing_is_made_up(secret: str, text: str) -> None:
    known = KnownSecrets()
    known.note(secret)
    assert known.hidden(text).count(MASK) >= text.count(MASK)
    if secret not in text and len(secret) >= 8:
        assert secret not in known.hidden(text)


def test_what_is_cut_ends_with_no_part_of_a_secret() -> None:
    note_secrets("Cut-In-The-Middle-77")
    assert excerpt("the BMC says Cut-In-The-Middle-77", 20) == "the BMC says ***"


def test_no_error_of_a_driver_says_a_secret() -> None:
    note_secrets("Echoed-By-The-Bmc-1")
    assert str(Unreachable("it says Echoed-By-The-Bmc-1", maybe_sent=True)) == "it says ***"


def test_nothing_that_is_printed_says_a_secret() -> None:
    note_secrets("Printed-By-Anybody-1")
    under = io.StringIO()
    stream = _Hiding(under)
    stream.writelines(["a Printed-By-Anybody-1\n", "b\n"])
    print("c Printed-By-Anybody-1", file=stream)
    assert under.getvalue() == "a ***\nb\nc ***\n"
