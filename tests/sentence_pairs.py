"""Parallel text made of a grammar: enough for subwords to be learned and for a small network to translate."""

import gzip
from itertools import product

import numpy as np

WHO = {"ein Mann": "a man", "eine Frau": "a woman", "der Hund": "the dog", "zwei Mädchen": "two girls"}
WHAT = {"läuft": "walks", "schläft": "sleeps", "singt": "sings", "wartet": "waits", "fällt": "falls"}
WHERE = {"am Meer": "by the sea", "im Park": "in the park", "auf der Straße": "in the street", "": ""}
HOW = {"heute": "today", "oft": "often", "nie": "never", "allein": "alone"}


def sentences(examples=320, seed=0):
    """Return pairs (German, English) in an order drawn from ``seed``."""
    every = list(product(WHO.items(), WHAT.items(), WHERE.items(), HOW.items()))
    order = np.random.default_rng(seed).permutation(len(every))[:examples]
    pairs = []
    for row in order:
        sides = (" ".join(filter(None, words)) for words in zip(*every[row], strict=True))
        pairs.append(tuple(side[0].upper() + side[1:] + "." for side in sides))
    return pairs


def write_multi30k(folder, *, train=240, held_out=40, compressed=True):
    """Write the six files of Multi30k."""
    made = sentences(train + 2 * held_out)
    parts = {
        "train": made[:train],
        "val": made[train : train + held_out],
        "test_2016_flickr": made[train + held_out :],
    }
    for part, pairs in parts.items():
        for place, language in enumerate(("de", "en")):
            text = "".join(pair[place] + "\n" for pair in pairs).encode()
            file = folder / f"{part}.{language}{'.gz' if compressed else ''}"
            file.write_bytes(gzip.compress(text) if compressed else text)
    return parts
