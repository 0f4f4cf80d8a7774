"""Credentials in the environment: NAME_USERNAME and NAME_PASSWORD, or NAME as `user:password`."""

from __future__ import annotations

import os

from drivers.base import Credential, SecretUnavailable
from drivers.secret.credential_text import from_pair


class EnvSource:
    """Resolves `{"env": NAME}`; the pair of variables goes before the single one."""

    def resolve(self, reference: object) -> Credential:
        """See SecretSource."""
        if not isinstance(reference, str) or not reference:
            raise SecretUnavailable("credentialRef.env must name an environment variable")
        username, password = os.environ.get(f"{reference}_USERNAME"), os.environ.get(f"{reference}_PASSWORD")
        if username and password:
            return Credential(username, password)
        if username or password:
            lacking = "PASSWORD" if username else "USERNAME"
            raise SecretUnavailable(f"environment variable {reference}_{lacking} is not set; set both variables")
        pair = os.environ.get(reference)
        if not pair:
            raise SecretUnavailable(
                f"environment variables {reference}_USERNAME and {reference}_PASSWORD are not set; "
                f"set them, or {reference} as `user:password`"
            )
        return from_pair(pair, f"environment variable {reference}")
