"""Models that the user's own function builds."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import netcaliper as nc
from netcaliper.errors import SpecError
from netcaliper.specs.model import load_model
from netcaliper.specs.models.factory_model import unwrapped
from timm_models import import_timm


def equal(a, b):
    return all(torch.equal(tensor, b.state_dict()[name]) for name, tensor in a.state_dict().items())


@pytest.fixture
def factories(tmp_path, monkeypatch):
    (tmp_path / "factory_nets.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Linear):\n"
        "    def __init__(self): super().__init__(3, 2)\n"
        "instance = Net()\n"
        "def number(): return 3\n"
        "def broken(): raise RuntimeError('no GPU here')\n"
        "def parallel(): return torch.nn.DataParallel(Net())\n"
        "def compiled(): return torch.compile(torch.nn.DataParallel(Net()))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_factories(factories):
    state = torch.get_rng_state()
    loaded = load_model("factory_nets:Net")
    assert torch.equal(state, torch.get_rng_state())
    assert not loaded.model.training
    assert (loaded.name, loaded.example_shape, loaded.twin) == ("factory_nets:Net", None, None)
    assert equal(loaded.model, load_model("factory_nets:Net").model)  # one command, one model

    weights = nn.Linear(3, 2)
    save_file(weights.state_dict(), factories / "w.safetensors")
    trained = load_model("factory_nets:Net", factories / "w.safetensors")
    assert equal(trained.model, weights)
    assert trained.twin is not None
    assert equal(trained.twin(0), loaded.model)
    assert not equal(trained.twin(1), loaded.model)


@pytest.mark.usefixtures("factories")
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("factory_nets:instance", "is a Net; name a function or class"),
        ("factory_nets:number", "returned a int, not a torch.nn.Module"),
        ("factory_nets:broken", "RuntimeError: no GPU here"),
        ("factory_nets:Nett", "did you mean 'Net'"),
    ],
)
def test_factories_that_cannot_be_used(spec, message):
    with pytest.raises(SpecError, match=message):
        load_model(spec)


@pytest.mark.parametrize("name", ["parallel", "compiled"])
def test_wrappers_are_taken_off(name, factories):
    loaded = load_model(f"factory_nets:{name}")
    assert type(loaded.model).__name__ == "Net"
    assert not loaded.model.training
    torch.save({f"module.{n}": t for n, t in nn.Linear(3, 2).state_dict().items()}, factories / "w.pt")
    assert load_model(f"factory_nets:{name}", factories / "w.pt").twin is not None


def test_a_module_without_a_wrapper_is_itself():
    inner = nn.Linear(2, 2)
    assert unwrapped(inner) is inner


LIGHTNING = """
import lightning
import torch
from torch import nn

class Lit(lightning.LightningModule):
    def __init__(self, width=5):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2))
        self.loss = nn.CrossEntropyLoss(weight=torch.ones(2))
    def forward(self, x):
        return self.net(x)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)
    def training_step(self, batch, _):
        return self.loss(self(batch[0]), batch[1])

def whole(): return Lit()
def inner(): return Lit().net
"""


@pytest.mark.filterwarnings("ignore")
def test_lightning_checkpoints(tmp_path, monkeypatch):
    (tmp_path / "my_lightning.py").write_text(LIGHTNING)
    monkeypatch.syspath_prepend(str(tmp_path))
    import_timm()  # lightning loads torchvision
    import lightning
    import my_lightning  # pyright: ignore[reportMissingImports]

    model = my_lightning.Lit()
    trainer = lightning.Trainer(
        max_steps=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path, enable_checkpointing=False,
    )  # fmt: skip
    x = torch.randn(8, 3)
    trainer.fit(model, torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, torch.arange(8) % 2), 4))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    for name in ("whole", "inner"):
        loaded = load_model(f"my_lightning:{name}", tmp_path / "last.ckpt")
        assert torch.equal(loaded.model(x), model.eval()(x))
    assert [site.units for site in nc.trace(load_model("my_lightning:whole").model, x).sites] == [5]
