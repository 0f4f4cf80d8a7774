"""What every SecretSource does: inherit from SecretConformance, say how a secret gets in, and run pytest.

class TestMine(SecretConformance):
    @classmethod
    def start(cls, request: pytest.FixtureRequest) -> AbstractContextManager[SecretSubject]:
        return a_vault_to_test_with()
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import msgspec
import pytest

from drivers.base import Credential, SecretSource, SecretUnavailable
from drivers.base.support import scheduling

PASSWORD = "hunter2-and-Unique"  # noqa: S105  made up


class SecretSubject(msgspec.Struct, frozen=True):
    """A source to test, and the place that it reads.

    `put`: writes a credential to the place, over the one before, and returns the reference to it. `spoil`: writes there
    a text that is no credential, and returns the reference. `absent`: a reference of the right shape to nothing.
    """

    source: SecretSource
    put: Callable[[Credential], object]
    spoil: Callable[[str], object]
    absent: object


class SecretConformance:
    """The suite. A subclass whose name begins with Test is run."""

    @classmethod
    def start(cls, request: pytest.FixtureRequest) -> AbstractContextManager[SecretSubject]:
        """A source, for one test. `request`: pytest's, for fixtures of your own."""
        raise NotImplementedError

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest) -> Iterator[SecretSubject]:
        """What `start` gives."""
        with self.start(request) as started:
            yield started

    @pytest.mark.parametrize("password", [PASSWORD, "with:colons:", "with spaces", "Grüße-für-ß", "{[%$\\", "x" * 1000])
    def test_a_credential_comes_back_as_it_was_put(self, subject: SecretSubject, password: str) -> None:
        login = Credential("ada", password)
        assert subject.source.resolve(subject.put(login)) == login

    def test_a_credential_that_was_changed_is_found_at_the_next_call(self, subject: SecretSubject) -> None:
        """groundstate resolves a reference at each login, so that a rotated password is used."""
        subject.source.resolve(subject.put(Credential("ada", "the one before")))
        reference = subject.put(Credential("ada", PASSWORD))
        assert subject.source.resolve(reference) == Credential("ada", PASSWORD)

    def test_a_credential_is_resolved_by_many_threads_at_once(self, subject: SecretSubject) -> None:
        reference, found = subject.put(Credential("ada", PASSWORD)), list[Credential]()
        threads = [
            scheduling.thread(lambda: found.append(subject.source.resolve(reference)), f"resolve-{number}")
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [Credential("ada", PASSWORD)] * 8

    def test_an_absent_one_is_unavailable(self, subject: SecretSubject) -> None:
        with pytest.raises(SecretUnavailable):
            subject.source.resolve(subject.absent)

    @pytest.mark.parametrize("reference", [7, None, "", [], {}, [7], {"a": 1}], ids=repr)
    def test_a_reference_of_the_wrong_shape_is_unavailable(self, subject: SecretSubject, reference: object) -> None:
        with pytest.raises(SecretUnavailable):
            subject.source.resolve(reference)

    @pytest.mark.parametrize("text", ["", PASSWORD, f'{{"password": "{PASSWORD}"}}', f'{{"password": "{PASSWORD}'])
    def test_what_makes_no_sense_is_unavailable_and_not_repeated(self, subject: SecretSubject, text: str) -> None:
        """The text may hold the password: neither the message nor the traceback shows it."""
        with pytest.raises(SecretUnavailable) as caught:
            subject.source.resolve(subject.spoil(text))
        assert str(caught.value)
        assert PASSWORD not in "".join(traceback.format_exception(caught.value))
