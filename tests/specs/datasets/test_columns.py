"""What the columns of a table are to a network, and every way in which that cannot be told."""

import pytest
import torch

from made_tables import pa, png, write
from netcaliper.errors import DataError, SpecError
from netcaliper.specs.data import load_data
from netcaliper.specs.loaded import LoadedModel
from netcaliper.zoo.models import build
from token_models import WORDS, Encoder, model_with_tokenizer


def test_images(tmp_path):
    images = [png(n) for n in range(5)]
    structs = [{"bytes": image, "path": None} for image in images]
    a = write(tmp_path / "a.parquet", 2, image=structs, label=[0, 1, 0, 1, 0], caption=["x"] * 5)
    b = write(tmp_path / "b.parquet", picture=images)
    (x, y), *_ = load_data(a)
    (plain,) = load_data(b)
    assert x.shape == (5, 3, 4, 4)
    assert torch.equal(x, plain)
    assert y.tolist() == [0, 1, 0, 1, 0]
    (small, _), *_ = load_data(f"{a}(size=2)")
    assert small.shape == (5, 3, 2, 2)


def test_text(tmp_path):
    spec = write(tmp_path / "t.parquet", sentence=["a crow", "the owl sees a crow"], label=[1, 0], idx=[7, 8])
    model = model_with_tokenizer(tmp_path / "model")
    (batch,) = load_data(spec, model=model)
    assert batch["input_ids"].tolist() == [[2, 3, 0, 0, 0], [5, 6, 4, 2, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0, 0], [1] * 5]
    assert batch["labels"].tolist() == [1, 0]
    assert sorted(batch) == ["attention_mask", "input_ids", "labels"]  # no token_type_ids: forward does not take them
    data = load_data(f"{spec}(length=2, label=False)", model=model)
    (batch,) = data
    assert batch["input_ids"].tolist() == [[2, 3], [5, 6]]
    assert "labels" not in batch
    assert data.prepared == "sentence, at most 2 tokens"  # pyright: ignore


@pytest.mark.parametrize(("reads", "got"), [("pixel_values", "image"), ("input_ids", "caption")])
def test_what_the_network_reads_decides_between_images_and_text(tmp_path, reads, got):
    spec = write(tmp_path / "t.parquet", image=[png(0)], caption=["a crow"])
    model = model_with_tokenizer(tmp_path / "model")
    assert model.data_config is not None
    model.data_config["main_input"] = reads
    (batch,) = load_data(spec, model=model)
    assert (batch.shape if got == "image" else batch["input_ids"].shape) == ((1, 3, 4, 4) if got == "image" else (1, 2))
    only = write(tmp_path / "o.parquet", other=["a crow"] if got == "image" else [png(0)])
    with pytest.raises(DataError, match="no column that the network can read; it needs (images|text or `input_ids`)"):
        load_data(only, model=model)


def test_pairs_of_texts(tmp_path):
    columns = {"premise": ["the owl sees", "a crow"], "hypothesis": ["a crow", "the owl"], "label": [1, 0]}
    spec = write(tmp_path / "t.parquet", **columns)
    model = model_with_tokenizer(tmp_path / "model")
    with pytest.raises(DataError, match=r"several columns of texts: 'premise', 'hypothesis'.*\(text='premise'\)"):
        load_data(spec, model=model)
    (batch,) = load_data(f"{spec}(text='premise', text_pair='hypothesis')", model=model)
    assert batch["input_ids"].tolist() == [[5, 6, 4, 2, 3], [2, 3, 5, 6, 0]]
    assert batch["labels"].tolist() == [1, 0]


def test_source_and_target_of_an_encoder_decoder(tmp_path):
    spec = write(tmp_path / "t.parquet", en=["a crow", "the owl sees"], de=["eine Krähe", "eine"])
    net = build("encoder_decoder", {"vocabulary": len(WORDS), "width": 8, "heads": 2}).eval()
    model = model_with_tokenizer(tmp_path / "model", net)
    with pytest.raises(SpecError, match="is an encoder-decoder and reads a target beside the source"):
        load_data(f"{spec}(text='en')", model=model)
    (batch,) = load_data(f"{spec}(text='en', text_pair='de')", model=model)
    assert batch["input_ids"].tolist() == [[2, 3, 0], [5, 6, 4]]
    assert batch["labels"].tolist() == [[9, 10], [9, -100]]
    assert batch["decoder_input_ids"].tolist() == [[0, 9], [0, 0]]
    batch.pop("labels")
    assert net(**batch).shape == (2, 2, len(WORDS))


def test_columns_of_token_ids(tmp_path):
    ids = [[5, 6, 7], [8], [9, 9]]
    spec = write(tmp_path / "t.parquet", input_ids=ids, text=["x"] * 3, labels=ids)
    (batch,) = load_data(spec)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0], [9, 9, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    assert batch["labels"].tolist() == [[5, 6, 7], [8, -100, -100], [9, 9, -100]]
    (batch,) = load_data(f"{spec}(length=2)", model=LoadedModel(Encoder(), "net"))
    assert batch["input_ids"].tolist() == [[5, 6], [8, 0], [9, 9]]
    classes = write(tmp_path / "c.parquet", input_ids=ids, label=[0, 1, 1])
    (batch,) = load_data(classes)
    assert batch["labels"].tolist() == [0, 1, 1]


def test_features_and_targets_of_a_regression(tmp_path):
    spec = write(tmp_path / "t.parquet", a=[1, 2], b=[0.5, -0.5], c=[True, False], name=["p", "q"], target=[0.1, 0.2])
    with pytest.raises(DataError, match=r"text in 'name' and numbers in 'a', 'b', 'c'.*\(features=\['a'\]\)"):
        load_data(spec)
    (x, y), *_ = load_data(f"{spec}(features=['c', 'a'])")
    assert x.tolist() == [[1.0, 1.0], [0.0, 2.0]]
    assert torch.equal(y, torch.tensor([0.1, 0.2]))
    (x, y), *_ = load_data(f"{spec}(features=['b'], label='a')")
    assert y.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"a": [1.0]}, "(label='lable')", "`label` names the column 'lable', which is not there; Columns: 'a'"),
        ({"image": [b"x"]}, "(image='imge')", "`image` names the column 'imge'.*did you mean 'image'"),
        (
            {"s": ["x"], "a": [1.0]},
            "(image='s')",
            "`image` = 's' is a column of kind text; there is no column",
        ),
        ({"s": ["x"], "a": [1.0]}, "(text='a')", "`text` = 'a' is a column of kind number; columns of texts: 's'"),
        ({"s": ["x"]}, "(text_pair='s')", "`text_pair` is the second part of `text`"),
        ({"s": ["x"], "i": [b"y"]}, "(text='s', image='i')", "`image` and `text` are both given"),
        ({"i": [b"x"], "j": [b"y"]}, "", r"several columns of images: 'i', 'j'.*\(image='i'\)"),
        ({"i": [b"x"], "fine_label": [1], "coarse_label": [0]}, "", r"several columns of labels.*\(label=False\)"),
        ({"when": [[1.5]]}, "", r"no column that the network can read.*`when` \(list<"),
        ({"label": [1]}, "", "no column that the network can read"),
        ({"a": [1.0, 2.0], "label": [1, -1]}, "", r"`label` holds -1;.*\(label=False\)"),
        ({"a": [1.0, 2.0], "label": [1, None]}, "", "`label` is empty in 1 rows"),
        ({"a": [1.0], "label": ["crow"]}, "", "`label` holds string, labels must be finite numbers"),
        ({"a": [1.0], "label": [float("nan")]}, "", "`label` holds double, labels must be finite numbers"),
        ({"s": ["x"]}, "", "holds text, and the model names no tokenizer"),
        ({"a": pa.array([], pa.float64())}, "", "holds no row"),
        ({"a": [1.0]}, "(examples=2)", "`examples` = 2 are asked for"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, columns, options, message):
    spec = write(tmp_path / "t.parquet", **columns)
    with pytest.raises((SpecError, DataError), match=message):
        load_data(f"{spec}{options}")
