"""Right values where others are wrong: CKA of a stock in-place ResNet, against a float64 reference that clones.

The network has torchvision's blocks: ``ReLU(inplace=True)``, one ReLU called twice a block, ``out += identity``. The
reference runs a float64 copy, clones every value at once, and computes debiased CKA by the trace formula of Song et al.
(2012), pair by pair. Rows are cases, columns are tools; a value is the largest absolute error of the CKA of the named
layers among each other, and is good up to 0.001, ten times the float32 rounding of the network. All get one batch of
64 images, so that they compare the same examples.

- labels: the default set of layers, on a copy without in-place operations: labels whose row is another layer's.
- offset: a convolution whose outputs have a mean of 300 standard deviations.
- dead: one layer is the same for all images. Good is a gap with its name and right values for the others.
- last batch of one: 65 images in batches of 64.
- reused: a ReLU that is called twice a block. Good is a value for every call.
- never runs: a ModuleList and a Linear that ``forward`` does not use, in the default set of layers.
- hooks, mode: what is left on a model that was in training mode.

    pip install torch-cka==0.21 pytorch-cka==1.1.3 ckatorch==1.0.3 tqdm matplotlib seaborn pyyaml
    python benchmarks/cka_correct.py

Packages that are not installed are left out by name. ckatorch takes batches as dictionaries.
"""

import contextlib
import copy
import io
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import table
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from netcaliper.compare.cka import cka

SEED, IMAGES, GOOD = 0, 64, 1e-3
PEERS = {"torch-cka": "0.21", "pytorch-cka": "1.1.3", "ckatorch": "1.0.3"}


class Block(nn.Module):
    """torchvision's basic block."""

    def __init__(self, inputs: int, outputs: int, stride: int, inplace: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=inplace)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.inplace:
            out += identity
        else:
            out = out + identity
        return self.relu(out)


class Stock(nn.Module):
    """A small torchvision ResNet for images of 16 x 16."""

    def __init__(self, *, inplace: bool = True, unused: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=inplace)
        blocks = [Block(8, 8, 1, inplace), Block(8, 8, 1, inplace), Block(8, 16, 2, inplace), Block(16, 16, 1, inplace)]
        self.blocks = nn.ModuleList(blocks) if unused else nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        if unused:
            self.spare = nn.Linear(16, 16)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        x = self.relu(self.bn1(self.conv1(x)))
        if isinstance(self.blocks, nn.ModuleList):
            for block in self.blocks:
                x = block(x)
        else:
            x = self.blocks(x)
        return self.fc(self.avgpool(x).flatten(1))


def stock(**options: bool) -> Stock:
    """Return a network with random weights, all scales and shifts included, and BatchNorm statistics that fit them."""
    torch.manual_seed(SEED)
    model = Stock(**options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    with torch.no_grad():
        model(images(256))
    return model.eval()


def images(count: int) -> Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(SEED))


class Batches(Dataset):
    """Images in batches, with labels, or as a dictionary."""

    def __init__(self, count: int, size: int, *, named: bool = False) -> None:
        self.batches, self.named = images(count).split(size), named

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor] | dict[str, Tensor]:
        batch = self.batches[number]
        return {"x": batch} if self.named else (batch, torch.zeros(len(batch), dtype=torch.long))


def loader(count: int = IMAGES, size: int = IMAGES, *, named: bool = False) -> DataLoader:
    return DataLoader(Batches(count, size, named=named), batch_size=None)


# the reference


def values(model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
    """Return every value in float64, cloned when it was made; the calls of a module after the first as ``name#2``.

    The sum of a block, which is no module's output, is what goes into the second call of its ReLU.
    """
    model, found = copy.deepcopy(model).double().eval(), {}

    def after(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            calls = sum(key.partition("#")[0] == name for key in found)
            found[name if not calls else f"{name}#{calls + 1}"] = output.detach().clone()

        return hook

    def before(name: str) -> Callable[[nn.Module, tuple[Tensor]], None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor]) -> None:
            if name in found:
                found[name.replace("relu", "add")] = inputs[0].detach().clone()

        return hook

    for name, module in model.named_modules():
        module.register_forward_hook(after(name))
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(before(name))
    with torch.no_grad():
        model(batch.double())
    return {"input": batch.double(), **found}


def hsic(a: Tensor, b: Tensor) -> Tensor:
    """Return the unbiased HSIC of two Gram matrices by the trace formula (Song et al. 2012, equation 5)."""
    n = len(a)
    a, b = a.clone().fill_diagonal_(0), b.clone().fill_diagonal_(0)
    product = torch.trace(a @ b) + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (a @ b).sum()
    return product / (n * (n - 3))


def reference(model: nn.Module, names: Sequence[str], batch: Tensor | None = None) -> np.ndarray:
    """Return the CKA of named values; NaN for a value that is the same for all images."""
    found = values(model, images(IMAGES) if batch is None else batch)
    features = [found[name].flatten(1) for name in names]
    grams = [(rows - rows.mean(0)) @ (rows - rows.mean(0)).T for rows in features]
    dead = torch.tensor([bool((rows == rows[0]).all()) for rows in features])
    own = [hsic(gram, gram) for gram in grams]
    pairs = list(zip(grams, own, strict=True))
    matrix = torch.stack([torch.stack([hsic(a, b) / (x * y).sqrt() for b, y in pairs]) for a, x in pairs])
    matrix[dead] = matrix[:, dead] = torch.nan
    return matrix.numpy()


# the tools


@dataclass(frozen=True)
class Answer:
    """Names in the tool's order, its matrix, and the gaps that it names."""

    names: tuple[str, ...]
    matrix: np.ndarray
    gaps: Mapping[str, str]


Tool = Callable[[nn.Module, Sequence[str] | None, int, int], Answer]


def netcaliper(model: nn.Module, names: Sequence[str] | None, count: int, size: int) -> Answer:
    found = cka(model, loader(count, size), "all" if names is None else names, batch=size, passes=1)
    return Answer(found.layers, found.matrix, found.gaps)


def torch_cka(model: nn.Module, names: Sequence[str] | None, count: int, size: int) -> Answer:
    from torch_cka import CKA

    given = None if names is None else list(names)
    compared = CKA(model, model, model1_layers=given, model2_layers=given, device="cpu")
    compared.compare(loader(count, size))
    exported = compared.export()
    return Answer(tuple(exported["model1_layers"]), exported["CKA"].detach().numpy(), {})


def pytorch_cka(model: nn.Module, names: Sequence[str] | None, count: int, size: int) -> Answer:
    from cka import compute_cka

    matrix = compute_cka(model, model, loader(count, size), layers=names, device="cpu", progress=False)[0]
    every = tuple(name for name, _ in model.named_modules() if name)
    return Answer(every if names is None else tuple(names), matrix.numpy(), {})


def ckatorch(model: nn.Module, names: Sequence[str] | None, count: int, size: int) -> Answer:
    from ckatorch import CKA

    every = [name for name, _ in model.named_modules() if name]
    compared = CKA(model, model, layers=every if names is None else list(names))
    matrix = compared(loader(count, size, named=True), epochs=1)
    return Answer(tuple(compared.first_model_info.layers), matrix.numpy(), {})


TOOLS: dict[str, Tool] = {
    "netcaliper": netcaliper, "torch-cka": torch_cka, "pytorch-cka": pytorch_cka, "ckatorch": ckatorch,
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """What a tool did in a case."""

    said: str
    good: bool

    @property
    def shown(self) -> dict[str, str | bool]:
        """As it is written."""
        return {"result": self.said, "good": self.good}


def error(tool: Tool, model: nn.Module, names: Sequence[str]) -> Cell:
    """Judge the values of some layers."""
    truth = reference(model, names)
    answer = tool(model, names, IMAGES, IMAGES)
    missing = [name for name in names if name not in answer.names]
    if missing:
        return Cell(f"no layer {missing[0]}", False)
    order = [answer.names.index(name) for name in names]
    worst = np.abs(answer.matrix[np.ix_(order, order)] - truth).max()
    return Cell(f"{worst:.1e}", bool(worst <= GOOD))


def of_kind(suffix: str) -> list[str]:
    """Return the modules of the stock network whose names end so, with the last layer to compare them with."""
    return [name for name, _ in stock().named_modules() if name.endswith(suffix) and "downsample" not in name] + ["fc"]


def convolutions(tool: Tool) -> Cell:
    return error(tool, stock(), [*(n for n in of_kind("conv1") if n != "fc"), *of_kind("conv2")])


def first_norms(tool: Tool) -> Cell:
    return error(tool, stock(), of_kind("bn1"))


def second_norms(tool: Tool) -> Cell:
    return error(tool, stock(), of_kind("bn2"))


def second_norms_sum(tool: Tool) -> Cell:
    """Only the sum is in place."""
    model = stock()
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return error(tool, model, of_kind("bn2"))


def offset(tool: Tool) -> Cell:
    model = stock(inplace=False)
    with torch.no_grad():
        shift = 300 * model.bn1.running_var.sqrt()
        for moved in (model.conv1.bias, model.bn1.running_mean):
            assert moved is not None
            moved.add_(shift)
    return error(tool, model, ["conv1", "bn1", "fc"])


def labels(tool: Tool) -> Cell:
    """Count labels whose row is not that of the layer of this name."""
    answer = tool(stock(inplace=False), None, IMAGES, IMAGES)
    found = values(stock(inplace=False), images(IMAGES))
    names = list(answer.names)
    if not any("#" in name for name in names):
        # one entry a module: of a module that is called twice its last call is as good as its first
        names = [f"{name}#2" if f"{name}#2" in found else name for name in names]
    unknown = [name for name in names if name not in found]
    if unknown:
        return Cell(f"no layer is called {', '.join(unknown[:3])}", False)
    # sorted, for where the labels of the columns are wrong a row in its right place has its values in another order
    truth = np.sort(reference(stock(inplace=False), names), axis=1)
    wrong = int((np.abs(np.sort(answer.matrix, axis=1) - truth).max(1) > 10 * GOOD).sum())
    return Cell(f"{wrong} of {len(names)} rows are another layer's", wrong == 0)


def dead(tool: Tool) -> Cell:
    model = stock(inplace=False)
    layer = "blocks.1.bn2"
    with torch.no_grad():
        nn.init.zeros_(model.get_parameter(f"{layer}.weight"))
    names = ["conv1", "blocks.0.bn2", layer, "fc"]
    truth = reference(model, names)
    answer = tool(model, names, IMAGES, IMAGES)
    order = [answer.names.index(name) for name in names]
    matrix = answer.matrix[np.ix_(order, order)]
    worst = np.nanmax(np.abs(matrix - truth)[~np.isnan(truth)])
    said = f"others {worst:.1e}, its own {matrix[2, 2]:.1f}, " + ("named" if layer in answer.gaps else "not a word")
    return Cell(said, bool(worst <= GOOD and layer in answer.gaps and np.isnan(matrix[2]).all()))


def last_of_one(tool: Tool) -> Cell:
    names = ["conv1", "blocks.0.conv1", "blocks.1.conv1", "fc"]
    answer = tool(stock(), names, IMAGES + 1, IMAGES)
    order = [answer.names.index(name) for name in names]
    matrix = answer.matrix[np.ix_(order, order)]
    # which 64 of the 65 make the batch is the tool's choice: each alone moves CKA by a few hundredths
    worst = np.abs(matrix - reference(stock(), names)).max()
    return Cell(f"within {worst:.2f} of the value without it", bool(worst < 0.05))


def reused(tool: Tool) -> Cell:
    names = ["blocks.0.relu", "blocks.0.relu#2", "blocks.3.relu", "blocks.3.relu#2", "fc"]
    model = stock()
    try:
        return error(tool, model, names)
    except Exception:
        answer = tool(model, [name for name in names if "#" not in name], IMAGES, IMAGES)
        return Cell(f"{len(answer.names) - 1} of 4 calls", False)


def never_runs(tool: Tool) -> Cell:
    model = stock(inplace=False, unused=True)
    answer = tool(model, None, IMAGES, IMAGES)
    finite = np.isfinite(answer.matrix).all()
    listed = [name for name in answer.names if name in ("spare", "blocks")]
    return Cell(f"{len(answer.names)} layers" + (f", with {listed}" if listed else ""), bool(finite and not listed))


def hooks(tool: Tool) -> Cell:
    model = stock()
    with contextlib.suppress(Exception):
        tool(model, ["conv1", "fc"], IMAGES, IMAGES)
    left = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())
    return Cell(f"{left} left", left == 0)


def mode(tool: Tool) -> Cell:
    model = stock().train()
    before = copy.deepcopy(model.state_dict())
    with contextlib.suppress(Exception):
        tool(model, ["conv1", "fc"], IMAGES, IMAGES)
    same = all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    training = all(module.training for module in model.modules())
    said = ("training mode as before" if training else "left in eval mode") + ("" if same else ", buffers changed")
    return Cell(said, training and same)


CASES: dict[str, Callable[[Tool], Cell]] = {
    "conv outputs, BatchNorm follows": convolutions,
    "bn1 outputs, ReLU(inplace=True) follows": first_norms,
    "bn2 outputs, out += identity and ReLU(inplace=True) follow": second_norms,
    "bn2 outputs, out += identity follows": second_norms_sum,
    "mean of 300 standard deviations": offset,
    "labels of the default layers": labels,
    "dead layer": dead,
    "last batch of one": last_of_one,
    "reused ReLU": reused,
    "ModuleList and a module that never runs": never_runs,
    "hooks": hooks,
    "mode and buffers": mode,
}


def judged(case: Callable[[Tool], Cell], tool: Tool) -> Cell:
    """Run a case; a tool that raises has not answered."""
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return case(tool)
    except Exception as failure:
        words = (str(failure).splitlines() or [""])[0]
        return Cell(f"{type(failure).__name__}: {words}"[:90], False)


def main() -> None:
    """Fill the table and write ``results/cka_correct.json``."""
    found, missing = {}, []
    for name, wanted in PEERS.items():
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            missing.append(f"{name} is not installed: pip install {name}=={wanted}")
    for line in missing:
        print(line, file=sys.stderr)
    columns = {name: tool for name, tool in TOOLS.items() if name == "netcaliper" or name in found}
    cells = {case: {name: judged(run, tool) for name, tool in columns.items()} for case, run in CASES.items()}
    table.write(
        __file__,
        {
            "peers": found,
            "left out": missing,
            "seed": SEED,
            "images": IMAGES,
            "good up to": GOOD,
            "bad cells": {name: sum(not row[name].good for row in cells.values()) for name in columns},
            "cases": {case: {name: cell.shown for name, cell in row.items()} for case, row in cells.items()},
        },
    )


if __name__ == "__main__":
    main()
