"""Subwords: nothing is lost, equal texts give equal encodings, and what is frequent becomes one subword."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netcaliper.errors import DataError, InputError
from netcaliper.zoo.subwords import BYTES, END, PADDING, SPECIAL, START, train_subwords
from sentence_pairs import sentences

pytest.importorskip("tokenizers")

TEXTS = [side for pair in sentences() for side in pair]
MADE = train_subwords(TEXTS, 400)


def test_texts_come_back_as_they_were():
    assert MADE.texts(MADE.ids(TEXTS)) == TEXTS


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs", "Z", "C")), max_size=30))
def test_no_text_is_unknown(text):
    assert MADE.texts(MADE.ids([text])) == [text]


def test_special_subwords_stand_for_no_text_and_the_end_ends():
    (ids,) = MADE.ids(["Ein Hund."])
    assert MADE.texts([[START, *ids, END, *ids, PADDING]]) == ["Ein Hund."]
    assert MADE.texts([[], [END], [PADDING, START]]) == ["", "", ""]
    assert not {PADDING, START, END} & set(ids)


def test_special_words_in_a_text_are_text():
    for word in SPECIAL:
        (ids,) = MADE.ids([f"a {word} b{word}"])
        assert MADE.texts([ids]) == [f"a {word} b{word}"]
        assert not set(range(len(SPECIAL))) & set(ids)


def test_frequent_words_are_one_subword_and_the_size_is_kept():
    words = train_subwords(["the dog"] * 50 + ["the cat"] * 50, 400)
    assert words.size < 400  # there are not so many pairs
    assert len(words.ids(["the dog"])[0]) == 2
    assert MADE.size == 400
    assert train_subwords(["the dog"], BYTES + len(SPECIAL)).size == BYTES + len(SPECIAL)


def test_sentences_are_shorter_than_their_bytes():
    ids = MADE.ids(TEXTS)
    assert sum(map(len, ids)) < sum(len(text.encode()) for text in TEXTS) / 2
    assert max(map(max, ids)) < MADE.size


def test_equal_texts_give_equal_encodings_in_another_process():
    code = (
        "from sentence_pairs import sentences; from netcaliper.zoo.subwords import train_subwords;"
        "import hashlib; texts = [side for pair in sentences() for side in pair];"
        "print(hashlib.sha256(train_subwords(texts, 400).json().encode()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True, text=True, check=True, timeout=120, cwd="tests",
            env={"PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads, "PATH": ""},
        ).stdout
        for seed, threads in (("1", "1"), ("2", "4"))
    }  # fmt: skip
    assert len(found) == 1


def test_a_vocabulary_without_room_for_the_bytes_is_refused():
    with pytest.raises(InputError, match="`vocabulary` must be at least 259, .* got 200"):
        train_subwords(TEXTS, 200)


def test_without_the_library_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(DataError, match=r"netcaliper\[translation\]"):
        train_subwords(TEXTS, 400)
