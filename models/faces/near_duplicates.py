"""near_duplicates: find photos that are nearly the same picture: saved again, scaled, slightly cropped or brightened.

    groups = near_duplicate_groups(Path("faces"), ["a.jpg", "b.jpg"])

Near duplicates must be in the same split, or a model is tested on photos that it was trained on. Photos are compared by
perceptual hash (the signs of the low frequencies of the grey photo, library imagehash), not by faces: two different
photos of one person are not near duplicates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from models.serving.photo_preprocessing import UnusablePhotoError, decode_photo

HASH_SIDE = 16
"""The hash has HASH_SIDE² bits, from a photo scaled to four times that side. LARGEST_DISTANCE depends on it."""
LARGEST_DISTANCE = 32
"""Photos are near duplicates if their hashes differ in at most this many bits. Of 154 pairs of near duplicates in
UTKFace's groups, 95 % differ in at most 30 of 256 bits. Of 280,000 unrelated pairs of aligned faces, all differ in 58
or more."""

Bits = NDArray[np.bool_]


def near_duplicate_groups(images: Path, file_names: Sequence[str]) -> NDArray[np.int64]:
    """Return the (n,) group numbers of the named photos in `images`: near duplicates have the same number.

    Near duplicates of near duplicates are in one group. A photo that is missing or cannot be decoded has its own group.
    """
    hashes = {row: bits for row, name in enumerate(file_names) if (bits := perceptual_hash(images / name)) is not None}
    groups = np.arange(len(file_names), dtype=np.int64)
    if hashes:
        # Equal hashes are compared once: a set with many exact copies would have too many pairs.
        distinct, which = np.unique(np.array(list(hashes.values())), axis=0, return_inverse=True)
        # Numbers start after those of single photos, so that no group gets the number of a photo without a hash.
        groups[list(hashes)] = len(file_names) + _linked(len(distinct), pairs_within(distinct, LARGEST_DISTANCE))[which]
    return np.unique(groups, return_inverse=True)[1]


def perceptual_hash(photo: Path) -> Bits | None:
    """Return the (256,) bits of a photo's hash, or None when the photo is missing or cannot be decoded."""
    try:
        pixels = decode_photo(photo.read_bytes(), 4 * HASH_SIDE)
    except (OSError, UnusablePhotoError):
        return None
    bits: Bits = imagehash.phash(Image.fromarray(pixels), hash_size=HASH_SIDE).hash.ravel()
    return bits


def pairs_within(hashes: Bits, largest_distance: int) -> NDArray[np.int64]:
    """Return all (m, 2) pairs of rows of (n, bits) hashes that differ in at most `largest_distance` bits.

    The result is exact. If bits are cut into `largest_distance` + 1 bands, two such hashes have at least one band in
    common, so only rows with an equal band are compared.
    Source: Manku, Jain & Das Sarma 2007, "Detecting near-duplicates for web crawling".
    """
    packed = np.packbits(hashes, axis=1)
    found = [_no_pairs()]
    for band in np.array_split(hashes, largest_distance + 1, axis=1):
        for pairs in _pairs_of_equal_rows(band):
            differing = np.bitwise_count(packed[pairs[:, 0]] ^ packed[pairs[:, 1]]).sum(axis=1, dtype=np.int64)
            found.append(pairs[differing <= largest_distance])
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def _pairs_of_equal_rows(band: Bits) -> Iterator[NDArray[np.int64]]:
    """Yield all pairs of rows with the same bits."""
    # Sorted, equal rows are neighbours: compare each with the next, then with the one two apart, until none is equal.
    keys = band @ (1 << np.arange(band.shape[1], dtype=np.int64))
    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    at = np.arange(len(order) - 1)
    apart = 1
    while len(at := at[at + apart < len(order)]) and len(at := at[sorted_keys[at] == sorted_keys[at + apart]]):
        yield np.stack([order[at], order[at + apart]], axis=1)
        apart += 1


def _linked(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (count,) numbers; rows that pairs join, directly or through others, have the same number."""
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    numbers: NDArray[np.int64] = connected_components(links, directed=False)[1].astype(np.int64)
    return numbers


def _no_pairs() -> NDArray[np.int64]:
    return np.empty((0, 2), dtype=np.int64)
