"""Study files: what is refused names file, line and remedy."""

import subprocess
import sys
from pathlib import Path

import pytest

from netcaliper.errors import StudyError
from netcaliper.study.file.schema import load_study, parse_study, tried
from netcaliper.study.file.study import Training

TEXT = """
title = "Try"
paper = "Somebody 2020"
[data.digits]
spec = "digits"
[data.cifar]
spec = "cifar10:{folder}"
folder = "here"
[families.mlp]
model = "zoo:mlp"
arguments = { inputs = 64, classes = 10 }
data = "digits"
options = { examples = 300 }
recipe = { epochs = 2, learning_rate = 1e-3 }
[families.mlp.axes]
seed = [0, 1]
width = { 8 = { "arguments.widths" = [8] }, 16 = { "arguments.widths" = [16] } }
rate = ["recipe.learning_rate", [0.1, 0.2]]
[families.mlp.read.width]
examples = 100
[bends.late]
of = "mlp"
start = 1
penalty = 1
final = 0
[bends.late.axes]
omega = ["omega", [0.0, 0.004]]
choose = ["choose", ["learned", "random"]]
[comparisons.across]
of = ["mlp"]
groups = "width"
where = { rate = 0.1 }
[comparisons.across.read.compare]
[[claims]]
name = "first"
sentence = "It learns."
statistic = "mean"
column = "test_accuracy"
above = 0.1
[[figures]]
name = "lines"
title = "Lines"
kind = "lines"
x = "width"
y = "units"
[scales.tiny]
limit = 30
[scales.one]
comparisons.across = false
[scales.one.families.mlp.axes]
seed = [0]
"""


@pytest.fixture
def load(tmp_path):
    def loaded(old="", new="", scale="tiny", **more):
        assert old in TEXT
        file = tmp_path / "try.toml"
        file.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
        return load_study(file, scale, **more)

    return loaded


def test_a_study(load):
    study = load()
    assert (study.title, study.paper, study.name, study.scale, study.limit) == (
        "Try",
        "Somebody 2020",
        "try",
        "tiny",
        30,
    )
    assert [axis.column for axis in study.families["mlp"].axes] == ["seed", "width", "rate"]
    assert study.bends["late"].table == {"of": "mlp", "start": 1, "penalty": 1, "final": 0}
    assert study.claims[0].name == "first"
    assert study.figures[0].kind == "lines"


def test_a_scale_is_laid_over(load):
    study = load(scale="one")
    assert study.limit == 500
    assert not study.comparisons
    assert len(study.families["mlp"].axes[0].values) == 1


def test_families_bends_and_comparisons_have_names_of_their_own():
    text = TEXT.replace("bends.late", "bends.across")
    with pytest.raises(StudyError, match="line 29: the name `across` is taken by one of the bends"):
        parse_study(text, Path("try.toml"), name="try", scale="tiny")


def test_a_folder_that_the_spec_has_no_place_for_is_refused(load):
    with pytest.raises(StudyError, match=r"line 4: `data.digits` has a folder, '/d', and no \{folder\} in `spec`"):
        load(folders={"digits": "/d"})


def test_a_folder_replaces_that_of_the_file(load):
    assert load(folders={"cifar": "there"}).data["cifar"].folder == "there"
    with pytest.raises(StudyError, match="did you mean `cifar`"):
        load(folders={"cifa": "there"})


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        # keys
        ("title", "tilte", "line 2: `tilte` .* did you mean `title`"),
        ("classes", "clases", "line 11: `arguments.clases` .* did you mean `classes`"),
        ("epochs", "epoch", "`recipe.epoch` is not known; did you mean `epochs`"),
        ('"arguments.widths" = [16]', '"argument.widths" = [16]', "line 17: `argument` .* `arguments`"),
        ("penalty", "penalti", "line 24: `penalti` .* did you mean `penalty`"),
        ("groups", "group", "line 31: `group` .* did you mean `groups`"),
        ("above", "abve", "line 39: `abve` .* did you mean `above`"),
        ('x = "width"', 'x = "width"\ncolr = "w"', "line 45: `colr` .* did you mean `color`"),
        ("read.width", "read.with", "line 19: `with` is none of the readers; did you mean `width`"),
        ("[data.digits]\nspec", "[data.digits]\nspek", "line 5: `spek` .* did you mean `spec`"),
        ("[scales.tiny]", "[scales.tiny.families.mpl]", "line 46: `mpl` .* did you mean `mlp`"),
        ("limit = 30", "limt = 30", "line 47: `limt` .* did you mean `limit`"),
        ('title = "Try"', 'title = "Try"\nname = "other"', "line 3: `name` cannot stand here"),
        # values
        ("epochs = 2", "epochs = 0", "line 14: `epochs` must be at least 1"),
        ("epochs = 2", "epochs = nan", "line 14: `recipe.epochs` = nan cannot stand here; give a finite number"),
        ("epochs = 2, ", "", "line 14: neither `recipe.epochs` nor `updates`"),
        ("epochs = 2", "seed = 2", "`recipe.seed` is an axis"),
        ("[0.1, 0.2]", "[0.1, -0.2]", "line 18: `learning_rate` must be a positive number"),
        ("epochs = 2", 'epochs = 2, weight_decay = "much"', "line 14: `recipe.weight_decay` = 'much': Input should"),
        ("[0.0, 0.004]", "[0.0, -1]", "line 27: `omega` = -1 cannot be used: input should be greater"),
        ('"learned", "random"', '"learned", "randon"', "line 28: `choose` = 'randon' cannot be used"),
        ("above = 0.1", "", "line 34: claim 'first': needs exactly one of"),
        ("above = 0.1", 'above = "x"', "line 39: `above` = 'x' cannot be used"),
        ("above = 0.1", "above = 0.1\nwhere = { a = { over = 3 } }", "line 40: `over` .* did you mean `above`"),
        ("above = 0.1", "above = 0.1\nwhere = { a = {} }", "line 40: `a` = {} must be a number, a word"),
        ('kind = "lines"', 'kind = "line"', "line 40"),
        ("zoo:mlp", "zoo:mpl", "line 10: `model` = 'zoo:mpl' .* did you mean 'zoo:mlp'"),
        ("limit = 30", "limit = 0", "line 47: `limit` = 0"),
        # grids
        ("seed = [0, 1]", "seed = []", "line 16: the axis `seed` is empty"),
        ("seed = [0, 1]", "sed = [0, 1]", "line 16: the axis `sed` cannot be read"),
        ("seed = [0, 1]\n", "", "line 15: `mlp` has no seeds"),
        ("seed = [0]", "seed = []", "line 51: the axis `seed` is empty"),
        ("[bends.late.axes]", "[bends.late.axes]\nseed = [1]", "line 27: the seeds of bendings"),
        ("[bends.late.axes]", '[bends.late.axes]\nrate = ["alpha_rate", [1]]', "line 27: `rate` is an axis of `mlp`"),
        ('"learned", "random"', '"random"', "line 28: .* add 'learned'"),
        ("start = 1", "start = 3", "line 23: .* `start` = 3 lies behind the end of `mlp`"),
        ('omega = ["omega", [0.0, 0.004]]', "", "line 21: `omega` is missing"),
        ('groups = "width"', 'across = "rate"', "line 29: .* has one network alone"),
        ("rate = 0.1", "rate = 0.3", "line 32: .* selects no network"),
        ('"recipe.learning_rate", [0.1, 0.2]', '"arguments", [1]', "line 18: `arguments` is set by the axis `width`"),
        # readers
        ("examples = 100", "exampels = 3", "line 20: `exampels` .* options of `width`; did you mean `examples`"),
        ("examples = 100", "at = 1", "line 20: `at` = 1 must be a list of epochs up to 2"),
        ("examples = 100", "at = ['last']", "line 20: `at` = .'last'. must be a list"),
        ("examples = 100", "at = [0, 3]", "line 20: .* up to 2, where the training ends"),
        # names
        ('of = "mlp"', 'of = "mpl"', r"line 22: `mpl` .* did you mean `mlp`.* `bends.late = false`"),
        ('of = ["mlp"]', 'of = ["cnn"]', "line 30: `cnn` is none of the families; known are: mlp"),
        ('groups = "width"', 'groups = "widht"', "line 31: `widht` is none of the columns; did you mean `width`"),
        ('groups = "width"', 'groups = "seed"', "line 31: `groups` is `across` itself"),
        ("rate = 0.1", "ratte = 0.1", "line 32: `ratte` is none of the columns"),
        ('data = "digits"', 'data = "digit"', "line 12: `digit` is none of the data sets"),
        ("[[figures]]", "[[claims]]\nname = 'first'\nsentence = 'x'\nstatistic = 'mean'\ncolumn = 'y'\nabove = 1\n"
         "[[figures]]", "line 41: the name `first` is taken"),
        ('[data.cifar]\nspec = "cifar10:{folder}"', '[data.b]\nspec = "cifar10:{folder}"\nfolder = "b"\n'
         '[data.cifar]\nspec = "cifar10:{folder}"', "one spec in two folders"),
        # the file
        ('title = "Try"', "title = Try", "is no TOML: .*line 2"),
        (TEXT[TEXT.index("[data.digits]") : TEXT.index("[families")], "data = 3\n", "line 4: `data` must be a table"),
    ],
)  # fmt: skip
def test_what_is_refused(load, old, new, words):
    with pytest.raises(StudyError, match=rf"try\.toml.*{words}"):
        load(old, new)


def test_an_unknown_scale_names_the_known_ones(load):
    with pytest.raises(StudyError, match="known are: tiny, one"):
        load(scale="tyni")
    with pytest.raises(StudyError, match=r"add `\[scales.tiny\]`"):
        load(TEXT[TEXT.index("[scales.tiny]") :], "")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(StudyError, match=r"nothing.toml cannot be read"):
        load_study(tmp_path / "nothing.toml", "tiny")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(StudyError, match="not UTF-8"):
        load_study(tmp_path / "bytes.toml", "tiny")


def test_every_value_of_every_axis_is_tried_once(load):
    grid = load().families["mlp"]
    rates = [(axis.column if axis else None, settings["recipe.learning_rate"]) for axis, settings in tried(grid)]
    assert rates == [(None, 0.1), ("seed", 0.1), ("width", 0.1), ("rate", 0.2)]


def test_a_point_of_a_family(load):
    from netcaliper.study.file.axes import points

    grid = load().families["mlp"]
    last = list(points(grid.axes))[-1]
    training = grid.training(last)
    assert isinstance(training, Training)
    assert training.arguments == {"inputs": 64, "classes": 10, "widths": [16]}
    assert training.recipe == {"epochs": 2, "learning_rate": 0.2}


def test_the_form_is_read_without_torch():
    code = (
        "import sys; from pathlib import Path; from netcaliper.study.file.schema import parse_study\n"
        f"parse_study({TEXT!r}, Path('x'), name='x', scale='tiny')\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_of_the_recipe_only_loading_asks():
    text = TEXT.replace("epochs = 2", "epochs = 0")
    assert parse_study(text, Path("x"), name="x", scale="tiny").name == "x"
