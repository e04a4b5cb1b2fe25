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
    """The pseudonyms of one key."""

    key: bytes = field(repr=False)

    @cached_property
    def generation(self) -> str:
        """The name of the key, which reveals nothing about it; pseudonyms of another key begin with another name."""
        return "p" + _digest(self.key, "generation", "", 5)

    def of(self, cashier_id: str) -> str:
        """Return the pseudonym of an id; it is the same everywhere and always, as long as the key is."""
        return f"{self.generation}-{_digest_of_cashier(self.key, cashier_id)}"

    def applied_to(self, lines: pa.RecordBatch) -> pa.RecordBatch:
        """Replace cashier ids by pseudonyms, and the text of unparsed lines by its length and a keyed hash."""
        masked = {"cashier_id": self.of, "unparsed_line": self._instead_of}
        columns = [
            _of_each(lines[name], masked[name]) if name in masked else lines[name] for name in lines.schema.names
        ]
        return pa.RecordBatch.from_arrays(columns, schema=lines.schema)

    def _instead_of(self, text: str) -> str:
        return (
            f"{len(text)} characters, not kept as they may name a cashier; hash {_digest(self.key, 'text', text, 16)}"
        )


def cashier_pseudonyms(environment: Mapping[str, str]) -> CashierPseudonyms | None:
    """Return the pseudonyms of the environment's key, None if it has none.

    Raises InputError when the key is too short to keep ids from being guessed.
    """
    key = pseudonym_key(environment)
    return CashierPseudonyms(key.encode()) if key else None


def key_generation(environment: Mapping[str, str]) -> str | None:
    """Return the name of the environment's key, None if it has none."""
    pseudonyms = cashier_pseudonyms(environment)
    return pseudonyms.generation if pseudonyms else None


def pseudonyms_of(generation: str | None, environment: Mapping[str, str]) -> CashierPseudonyms | None:
    """Return the pseudonyms of the key that the run began with.

    Raises InputError when this machine has another key or none: its lines would hold ids, or pseudonyms that fit no
    others.
    """
    if (own := key_generation(environment)) != generation:
        raise InputError(
            f"this machine has {_key_in_words(own)} in {KEY_VARIABLE}, the run began with {_key_in_words(generation)}; "
            "set the same key wherever Spark runs tasks"
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
