"""cashier_pseudonyms: replaces cashier ids by keyed pseudonyms as receipt files are read, so that no table holds one.

The key is read from the environment of the process that needs it, like the object store's credentials. It is not a
field of Settings, nor part of a Spark plan, closure or configuration: Spark logs and shows all of these.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import InputError
from jobs.settings import KEY_VARIABLE, pseudonym_key

PSEUDONYM = "^(p[a-z2-7]{8})-[a-z2-7]{26}$"
"""The key's generation, which changes with the key, and 128 bits of HMAC-SHA256, both in base32."""


@dataclass(frozen=True)
class CashierPseudonyms:
    """Turns cashier ids into pseudonyms with one secret key."""

    key: bytes = field(repr=False)

    @cached_property
    def generation(self) -> str:
        """The key's public name, with which each of its pseudonyms begins. It reveals nothing about the key."""
        return "p" + _digest(self.key, "generation", "", 5)

    def of(self, cashier_id: str) -> str:
        """Return the pseudonym of a cashier id; the same key always gives the same pseudonym."""
        return f"{self.generation}-{_digest_of_cashier(self.key, cashier_id)}"

    def applied_to(self, lines: pa.RecordBatch) -> pa.RecordBatch:
        """Replace cashier ids in receipt lines by pseudonyms, and unparsed lines by their length and a keyed hash."""
        masked = {"cashier_id": self.of, "unparsed_line": self._instead_of}
        columns = [
            _of_each(lines[name], masked[name]) if name in masked else lines[name] for name in lines.schema.names
        ]
        return pa.RecordBatch.from_arrays(columns, schema=lines.schema)

    def _instead_of(self, text: str) -> str:
        text_hash = _digest(self.key, "text", text, 16)
        return f"{len(text)} characters, not kept because they may name a cashier; hash {text_hash}"


def cashier_pseudonyms(environment: Mapping[str, str]) -> CashierPseudonyms | None:
    """Return the pseudonyms of the key in the environment, or None if it has no key.

    Raises InputError when the key is too short to keep ids from being guessed.
    """
    key = pseudonym_key(environment)
    return CashierPseudonyms(key.encode()) if key else None


def key_generation(environment: Mapping[str, str]) -> str | None:
    """Return the public name of the key in the environment, or None if it has no key."""
    pseudonyms = cashier_pseudonyms(environment)
    return pseudonyms.generation if pseudonyms else None


def pseudonyms_of(generation: str | None, environment: Mapping[str, str]) -> CashierPseudonyms | None:
    """Return the pseudonyms of the key that the run began with, `generation` being its public name.

    Raises InputError if this machine has another key or none: its lines would hold plain ids, or pseudonyms that
    differ from those of other machines.
    """
    if (own := key_generation(environment)) != generation:
        raise InputError(
            f"this machine has {_key_in_words(own)} in {KEY_VARIABLE}, but the run began with "
            f"{_key_in_words(generation)}; set the same key on all machines that run Spark tasks"
        )
    return cashier_pseudonyms(environment)


def _key_in_words(generation: str | None) -> str:
    return f"the key '{generation}'" if generation else "no key"


@lru_cache(maxsize=100_000)
def _digest_of_cashier(key: bytes, cashier_id: str) -> str:
    """Remember the few cashiers from one batch of lines to the next."""
    return _digest(key, "cashier_id", cashier_id, 16)


def _digest(key: bytes, kind: str, text: str, size_bytes: int) -> str:
    # The kind and a zero byte in front keep equal texts of different kinds from having the same digest.
    digest = hmac.digest(key, f"{kind}\0{text}".encode(), "sha256")[:size_bytes]
    return base64.b32encode(digest).decode().rstrip("=").lower()


def _of_each(texts: pa.Array, mapped: Callable[[str], str]) -> pa.Array:
    """Map each different text once, without surrounding blanks; empty texts and nulls stay."""
    encoded = pc.utf8_trim(texts, characters=" ").dictionary_encode()
    mapped_texts = [text and mapped(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(mapped_texts, pa.string()).take(encoded.indices)
