"""Sentence pairs: as a network takes them, in which order, what is cut, and what is refused."""

import gzip
from pathlib import Path

import pytest
import torch

from netcaliper.errors import DataError, InputError, SpecError
from netcaliper.fit.epoch import Reshuffled
from netcaliper.fit.train import fit
from netcaliper.trace.batches import IGNORED, batches, count_examples
from netcaliper.zoo.models import build
from netcaliper.zoo.subwords import END, PADDING, START
from netcaliper.zoo.translation import Pairs, TranslationOptions, check_fits, multi30k
from sentence_pairs import sentences, write_multi30k

pytest.importorskip("tokenizers")

REAL = Path(__file__).parents[3] / "shared" / "data" / "multi30k"
SMALL = TranslationOptions(vocabulary=300)


@pytest.fixture
def folder(tmp_path):
    write_multi30k(tmp_path)
    return tmp_path


def every(data):
    """Return the rows of all batches: source, target and labels of each example, without padding."""
    rows = []
    for batch in data:
        for row in range(len(batch["labels"])):
            source, target = (batch[f"{side}attention_mask"][row].bool() for side in ("", "decoder_"))
            rows.append(
                (
                    tuple(batch["input_ids"][row, source].tolist()),
                    tuple(batch["decoder_input_ids"][row, target].tolist()),
                    tuple(batch["labels"][row, target].tolist()),
                )
            )
            assert (batch["input_ids"][row, ~source] == PADDING).all()
            assert (batch["decoder_input_ids"][row, ~target] == PADDING).all()
            assert (batch["labels"][row, ~target] == IGNORED).all()
    return rows


def test_a_batch_is_what_an_encoder_decoder_takes(folder):
    data = multi30k(folder, "train", batch_size=32, options=SMALL)
    rows = every(data)
    assert len(rows) == 240
    for (source, target, labels), text, reference in zip(rows, data.sources, data.references, strict=True):
        assert source[-1] == labels[-1] == END
        assert target[0] == START
        assert target[1:] == labels[:-1]
        assert data.subwords.texts([source, labels]) == [text.lower(), reference.lower()]


def test_masks_hide_nothing_but_padding(folder):
    batch = next(iter(multi30k(folder, "train", batch_size=240, options=SMALL)))
    assert not bool((batch["labels"] == PADDING).any())
    for side in ("", "decoder_"):
        mask, ids = batch[f"{side}attention_mask"], batch[f"{side}input_ids"]
        assert mask.shape == ids.shape
        assert torch.equal(mask.cummin(1).values, mask)  # padding stands at the end
        assert bool((ids[mask == 0] == PADDING).all())
        assert mask.sum(1).max() == mask.shape[1]


def test_parts_and_languages(folder):
    made = sentences(320)
    parts = {split: multi30k(folder, split, options=SMALL) for split in ("train", "test", "all")}
    assert list(zip(parts["train"].sources, parts["train"].references, strict=True)) == made[:240]
    assert list(zip(parts["test"].sources, parts["test"].references, strict=True)) == made[280:]
    assert parts["all"].sources == parts["train"].sources + parts["test"].sources
    val = multi30k(folder, "test", options=TranslationOptions(vocabulary=300, held_out="val"))
    assert list(zip(val.sources, val.references, strict=True)) == made[240:280]
    back = multi30k(folder, "test", options=TranslationOptions(vocabulary=300, source="en", target="de"))
    assert back.sources == parts["test"].references


def test_plain_files_are_read_like_compressed_ones(folder, tmp_path):
    other = tmp_path / "plain"
    other.mkdir()
    write_multi30k(other, compressed=False)
    assert every(multi30k(other, options=SMALL)) == every(multi30k(folder, options=SMALL))


def test_a_subset_keeps_the_subwords(folder):
    whole = multi30k(folder, "train", options=SMALL)
    part = multi30k(folder, "train", options=TranslationOptions(vocabulary=300, examples=20))
    assert len(part.sources) == 20
    assert part.subwords.json() == whole.subwords.json()
    assert set(every(part)) <= set(every(whole))


def test_case_is_kept_on_request(folder):
    kept = multi30k(folder, "test", options=TranslationOptions(vocabulary=300, lowercase=False))
    assert kept.subwords.texts([row[0] for row in every(kept)]) == list(kept.sources)
    assert "lower-cased" in multi30k(folder, "test", options=SMALL).prepared
    assert "lower-cased" not in kept.prepared


def test_long_sentences_are_cut_counted_and_go_on(folder):
    whole = multi30k(folder, "train", options=SMALL)
    short = multi30k(folder, "train", options=TranslationOptions(vocabulary=300, length=9))
    cut = 0
    for long, kept in zip(every(whole), every(short), strict=True):
        assert kept == tuple(part[:9] for part in long)  # labels too: the next token, no END where it was cut
        cut += kept != long
    assert 0 < cut == short.cut < len(short.sources)
    assert f"{cut} of 240 pairs cut to 9 tokens" in short.prepared
    assert whole.cut == 0


def test_an_epoch_has_every_example_once_in_an_order_of_its_own(folder):
    data = multi30k(folder, "train", batch_size=16, options=SMALL)
    assert isinstance(data, Reshuffled)
    plain = every(data)
    one, again, two, other = (every(data.epoch(*which)) for which in ((1, 0), (1, 0), (2, 0), (1, 1)))
    assert one == again
    assert sorted(one) == sorted(plain)
    assert len({tuple(order) for order in (plain, one, two, other)}) == 4
    assert every(data) == plain
    assert len(data.epoch(1, 0)) == len(data) == 15


def test_an_epoch_has_little_padding(folder):
    def filled(batches):
        held = [batch[f"{side}attention_mask"] for batch in batches for side in ("", "decoder_")]
        return sum(int(mask.sum()) for mask in held) / sum(mask.numel() for mask in held)

    data = multi30k(folder, "train", batch_size=16, options=SMALL)
    assert filled(data.epoch(1, 0)) > max(0.9, filled(data) + 0.05)


def test_the_order_does_not_touch_the_random_state(folder):
    data = multi30k(folder, "train", options=SMALL)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    list(data.epoch(4, 2))
    assert torch.equal(before, torch.random.get_rng_state())


def test_batches_know_their_number_and_their_examples(folder):
    data = multi30k(folder, "test", batch_size=16, options=SMALL)
    assert len(data) == len(list(data)) == 3
    assert count_examples(data) == 40
    assert [batch.size for batch in batches(data)] == [16, 16, 8]


def test_a_small_network_learns_to_translate(folder):
    data = multi30k(folder, "train", batch_size=16, options=SMALL)
    record = fit(network(), data, epochs=2, learning_rate=1e-2)
    assert record.loss[-1] < 0.8 * record.loss[0]
    assert record.examples == 240


def test_two_trainings_are_equal(folder):
    data = multi30k(folder, "train", batch_size=60, options=SMALL)
    first, second = (network() for _ in range(2))
    for model in (first, second):
        fit(model, data, epochs=1, seed=5)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def network(**arguments):
    given = {"width": 16, "depth": 1, "heads": 2, "vocabulary": 300, "length": 64}
    return build("encoder_decoder", given | arguments)


# ---- refused


def test_a_network_that_is_too_small_is_refused(folder):
    data = multi30k(folder, "test", options=SMALL)
    check_fits(network(), data)
    check_fits(torch.nn.Linear(1, 1), data)  # says nothing about what it takes
    size = data.subwords.size
    with pytest.raises(SpecError, match=f"`vocabulary` = {size - 1} .* {size} subwords .* vocabulary={size}"):
        check_fits(network(vocabulary=size - 1), data)
    with pytest.raises(SpecError, match="`length` = 63 .* `length` = 64 .* length=64"):
        check_fits(network(length=63), data)


def test_a_missing_file_is_named(folder):
    (folder / "test_2016_flickr.en.gz").unlink()
    with pytest.raises(SpecError, match=r"has no test_2016_flickr\.en\.gz"):
        multi30k(folder, "test", options=SMALL)
    multi30k(folder, "train", options=SMALL)


def test_unequal_files_are_refused_with_both_counts(folder):
    (folder / "val.de.gz").write_bytes(gzip.compress(b"Ein Hund.\nEin Mann.\n"))
    with pytest.raises(DataError, match=r"'val\.de\.gz' and 'val\.en\.gz' .* got 2 and 40 lines"):
        multi30k(folder, "test", options=TranslationOptions(vocabulary=300, held_out="val"))


def test_empty_lines_and_files_are_refused(folder):
    for language in ("de", "en"):
        (folder / f"val.{language}.gz").write_bytes(gzip.compress(b"a\n \nb\n" if language == "en" else b"a\nb\nc\n"))
    with pytest.raises(DataError, match=r"line 2 of 'val\.en\.gz' is empty"):
        multi30k(folder, "test", options=TranslationOptions(vocabulary=300, held_out="val"))
    for language in ("de", "en"):
        (folder / f"val.{language}.gz").write_bytes(gzip.compress(b""))
    with pytest.raises(DataError, match=r"'val\.de\.gz' holds no sentence"):
        multi30k(folder, "test", options=TranslationOptions(vocabulary=300, held_out="val"))


DAMAGED = {
    "not gzip": b"no gzip",
    "not UTF-8": gzip.compress(b"\xff\xfe broken", mtime=0),
    "cut off": gzip.compress(b"long" * 99, mtime=0)[:18],
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_files_are_refused(folder, content):
    (folder / "train.de.gz").write_bytes(content)
    with pytest.raises(SpecError, match=r"'train\.de\.gz' cannot be read as text"):
        multi30k(folder, options=SMALL)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"target": "de"}, "`source` and `target` are both 'de'"),
        ({"random_labels": True}, "`random_labels` replace classes"),
        ({"held_out": "dev"}, "`held_out` = 'dev' cannot be used"),
        ({"length": 1}, "`length` = 1 cannot be used"),
        ({"vocab": 9}, "did you mean `vocabulary`"),
    ],
)
def test_options_that_mean_nothing_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        TranslationOptions(**arguments)


def test_more_examples_than_there_are_and_empty_batches_are_refused(folder):
    with pytest.raises(DataError, match="`examples` = 900 .* has 240"):
        multi30k(folder, "train", options=TranslationOptions(vocabulary=300, examples=900))
    with pytest.raises(InputError, match="`batch_size` must be at least 1, got 0"):
        Pairs(["a"], ["b"], multi30k(folder, options=SMALL).subwords, batch_size=0, options=SMALL)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/multi30k")
def test_the_real_thing():
    data = multi30k(REAL, "test")
    assert (len(data.sources), data.subwords.size, data.cut) == (1000, 4000, 0)
    rows = every(data)
    assert data.subwords.texts([row[0] for row in rows]) == [" ".join(text.lower().split()) for text in data.sources]
