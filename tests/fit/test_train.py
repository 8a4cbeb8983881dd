"""The training loop: equals hand-written descent, learns, repeats, and refuses what cannot be trained on."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from netcaliper.errors import DataError, Diverged, InputError
from netcaliper.fit.epoch import Step
from netcaliper.fit.saving import Saving
from netcaliper.fit.train import Training, accuracy, fit
from netcaliper.zoo.batches import Batches
from netcaliper.zoo.data import digits
from netcaliper.zoo.models import build


def blobs(examples=60, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(examples) % classes
    x = torch.randn(examples, 4, generator=generator) * 0.3
    x[torch.arange(examples), y] += 2
    return x, y


def equal(a, b):
    return all(torch.equal(tensor, b.state_dict()[name]) for name, tensor in a.state_dict().items())


def test_sgd_equals_a_loop_written_by_hand():
    x, y = blobs()
    batches = [(x[:25], y[:25]), (x[25:], y[25:])]
    model = build("mlp", {"inputs": 4, "widths": [5], "classes": 3})
    slow = copy.deepcopy(model).double()
    velocity = {name: torch.zeros_like(p) for name, p in slow.named_parameters()}
    losses = []
    for _ in range(3):
        total = 0.0
        for xb, yb in batches:
            loss = cross_entropy(slow(xb.double()), yb)
            gradients = torch.autograd.grad(loss, list(slow.parameters()))
            with torch.no_grad():
                for (name, p), g in zip(slow.named_parameters(), gradients, strict=True):
                    velocity[name] = 0.9 * velocity[name] + g
                    p -= 0.05 * velocity[name]
            total += loss.item() * len(xb)
        losses.append(total / len(x))
    record = fit(model, batches, epochs=3, learning_rate=0.05, optimizer="sgd")
    assert record.loss == pytest.approx(losses, rel=1e-5)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.double(), slow.get_parameter(name), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_it_learns_what_is_easy(optimizer):
    data = Batches(*blobs(), batch_size=16)
    model = build("mlp", {"inputs": 4, "widths": [8], "classes": 3})
    record = fit(model, data, epochs=40, learning_rate=0.02, optimizer=optimizer)
    assert record.loss[-1] < 0.1 * record.loss[0]
    assert record.accuracy[-1] == 1.0
    assert accuracy(model, data) == 1.0
    assert (record.examples, record.epochs, len(record.loss)) == (60, 40, 40)


def test_digits_are_learned_in_seconds():
    model = build("cnn", {"widths": [16, 32]})
    fit(model, digits("train", batch_size=32), epochs=8, learning_rate=5e-3)
    assert accuracy(model, digits("test")) > 0.9


def test_seed_decides_and_the_random_state_stays():
    data = Batches(*blobs(), batch_size=16)

    def trained(seed):
        net = nn.Sequential(build("mlp", {"inputs": 4, "widths": [8], "classes": 3}), nn.Dropout(0.5))
        return net, fit(net, data, epochs=2, seed=seed)

    state = torch.get_rng_state()
    (first, record), (again, same), (other, _) = trained(1), trained(1), trained(2)
    assert torch.equal(state, torch.get_rng_state())
    assert record == same
    assert equal(first, again)
    assert not equal(first, other)


def test_modes():
    data = Batches(*blobs())
    model = build("mlp", {"inputs": 4, "widths": [8], "classes": 3})
    fit(model, data, epochs=1)
    assert not any(module.training for module in model.modules())
    model.train()
    model.head.eval()
    accuracy(model, data)
    assert model.training
    assert not model.head.training


def test_progress_is_told_every_batch():
    steps: list[Step] = []
    data = Batches(*blobs(), batch_size=25)
    model = build("mlp", {"inputs": 4, "widths": [8], "classes": 3})
    record = fit(model, data, epochs=2, progress=steps.append)
    assert [(step.epoch, step.batch, step.batches) for step in steps] == [(e, b, 3) for e in (1, 2) for b in (1, 2, 3)]
    assert [steps[2].loss, steps[5].loss] == list(record.loss)


def test_a_loader_without_a_length_is_trained_on():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(zip(*blobs(10), strict=True))

    steps: list[Step] = []
    loader = torch.utils.data.DataLoader(Stream(), batch_size=4)
    record = fit(build("mlp", {"inputs": 4, "classes": 3}), loader, epochs=1, progress=steps.append)
    assert record.examples == 10
    assert [step.batches for step in steps] == [None] * 3


def test_accuracy_counts_the_largest_logit():
    """Logits are given: no parameter is needed, and 3 of 4 are right."""
    logits = torch.eye(3)[[0, 1, 2, 2]]
    assert accuracy(nn.Identity(), [(logits[:3], torch.tensor([0, 1, 2])), (logits[3:], torch.tensor([0]))]) == 0.75


def test_record_is_plain_data():
    model = build("mlp", {"inputs": 4, "widths": [8], "classes": 3})
    record = fit(model, Batches(*blobs()), epochs=1, seed=9)
    assert record.facts()["seed"] == 9
    assert record.facts()["loss"] == record.loss


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "`epochs` must be at least 1, got 0"),
        ({"epochs": 1, "learning_rate": 0.0}, "`learning_rate` must be a positive number, got 0"),
        ({"epochs": 1, "learning_rate": float("nan")}, "`learning_rate` must be a positive number, got nan"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        fit(build("mlp", {}), digits(), **arguments)


def noisy(part):
    """Training examples, a quarter of them labelled wrong, and right ones to watch."""
    x, y = blobs(90, seed=part)
    x = x + torch.randn(x.shape, generator=torch.Generator().manual_seed(9 + part))
    return Batches(x, torch.where(torch.arange(90) % 4 == 0, (y + 1) % 3, y) if part == 0 else y, batch_size=30)


def test_the_best_weights_are_kept_and_the_training_stops():
    """What is watched is the accuracy of the weights after each epoch; those of the first best epoch are kept."""

    def trained(epochs, **more):
        model = nn.Sequential(build("mlp", {"inputs": 4, "widths": [16], "classes": 3}, seed=2), nn.BatchNorm1d(3))
        return model, fit(model, noisy(0), epochs=epochs, learning_rate=0.02, seed=1, **more)

    watch = noisy(1)
    model, record = trained(60, patience=3, watch=watch)
    ran = len(record.watched)
    assert 3 < ran < 60
    assert record.watched == tuple(accuracy(trained(n)[0], watch) for n in range(1, ran + 1))
    best = max(record.watched)
    assert record.kept_epoch == record.watched.index(best) + 1
    assert ran == record.kept_epoch + 3 or best == 1.0
    assert len(record.loss) == len(record.accuracy) == ran
    expected, unwatched = trained(record.kept_epoch)
    assert equal(model, expected)  # the buffers of BatchNorm too
    assert unwatched.loss == record.loss[: record.kept_epoch]
    assert (unwatched.watched, unwatched.kept_epoch) == ((), record.kept_epoch)


def test_the_last_weights_are_not_always_the_best():
    """The test above would pass with the last weights if they were the best."""
    model = build("mlp", {"inputs": 4, "widths": [16], "classes": 3}, seed=2)
    record = fit(model, noisy(0), epochs=12, learning_rate=0.3, patience=5, watch=noisy(1))
    assert record.kept_epoch < len(record.watched)
    assert accuracy(model, noisy(1)) == max(record.watched) > record.watched[-1]


def test_without_other_examples_the_training_examples_are_watched():
    """Random labels are learned by heart: it ends when all are."""
    x, y = torch.randn(24, 6, generator=torch.Generator().manual_seed(3)), torch.arange(24) % 3
    data = Batches(x, y, batch_size=8)
    model = build("mlp", {"inputs": 6, "widths": [64], "classes": 3})
    record = fit(model, data, epochs=500, learning_rate=0.01, patience=100)
    assert record.watched[-1] == accuracy(model, data) == 1.0
    assert record.kept_epoch == len(record.watched) < 500
    assert max(record.watched[:-1]) < 1.0


def test_watching_does_not_change_the_training():
    """Not even if the watched data draw from torch's random state, or the callback does."""

    class Noise:
        def __iter__(self):
            yield torch.randn(9, 4), torch.arange(9) % 3

    def trained(**more):
        model = nn.Sequential(build("mlp", {"inputs": 4, "widths": [8], "classes": 3}), nn.Dropout(0.5))
        loader = torch.utils.data.DataLoader(noisy(0).dataset, batch_size=16, shuffle=True)
        return fit(model, loader, epochs=4, seed=5, **more)

    plain = trained()
    watched = trained(patience=4, watch=Noise(), after_epoch=lambda _: torch.randn(7))
    assert watched.loss == plain.loss


def test_after_every_epoch_the_callback_sees_its_weights():
    seen: list[tuple[Training, float]] = []
    model = build("mlp", {"inputs": 4, "widths": [8], "classes": 3})
    watch = noisy(1)
    record = fit(
        model,
        noisy(0),
        epochs=5,
        patience=5,
        watch=watch,
        after_epoch=lambda so_far: seen.append((so_far, accuracy(model, watch))),
    )
    assert [so_far.kept_epoch for so_far, _ in seen] == [1, 2, 3, 4, 5]
    assert [so_far.loss for so_far, _ in seen] == [record.loss[:n] for n in range(1, 6)]
    assert tuple(score for _, score in seen) == record.watched


def test_watched_data_need_patience():
    with pytest.raises(InputError, match="`watch` is read for `patience` alone"):
        fit(build("mlp", {}), digits(), epochs=1, watch=digits())


def test_a_model_without_parameters_or_logits_is_refused():
    with pytest.raises(InputError, match="no parameter that requires a gradient"):
        fit(nn.Flatten(), digits(), epochs=1)
    with pytest.raises(InputError, match=r"logits of shape \[batch, classes\], got \[256, 2, 8, 8\]"):
        fit(nn.Conv2d(1, 2, 3, padding=1), digits(), epochs=1)


X, Y = blobs()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([X], "`data` has no labels"),
        ([(X, Y + 1)], r"labels must lie in 0 .. 2 because the model has 3 outputs, got 3"),
        ([(X, Y - 1)], "got -1"),
        ([(X, Y.float())], "labels must be integers"),
        ([(X, Y[:5])], r"labels must be integers of shape \[60\]"),
        ([], "no batches"),
        ((batch for batch in [(X, Y)]), "one-shot"),
        ([(torch.full_like(X, torch.nan), Y)], "NaN"),
    ],
)
def test_bad_data(data, message):
    model = build("mlp", {"inputs": 4, "widths": [5], "classes": 3})
    with pytest.raises(DataError, match=message):
        fit(model, data, epochs=1)


def test_a_loss_that_is_not_finite_stops_the_training():
    model = build("mlp", {"inputs": 4, "widths": [5], "classes": 3})
    with pytest.raises(DataError, match="training diverged with `learning_rate` = 1e\\+30; lower it"):
        fit(model, Batches(X, Y), epochs=20, learning_rate=1e30, optimizer="sgd")


def test_batchnorm_and_a_single_example():
    data = digits("train", batch_size=1346)
    with pytest.raises(DataError, match="the batch at example 1346 holds 1 example and BatchNorm needs at least 2"):
        fit(build("cnn", {"widths": [2]}), data, epochs=1)


def test_another_loss_trains_what_is_no_classifier(tmp_path):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, 4, generator=generator)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]])
    batches = [(x[:20], y[:20]), (x[20:], y[20:])]
    model = nn.Linear(4, 1)
    sizes = []

    def squared(output, batch):
        sizes.append(batch.size)
        return (output - batch.labels).square().mean()

    record = fit(model, batches, epochs=60, learning_rate=0.1, optimizer="sgd", loss=squared)
    assert record.loss[-1] < 1e-3 < record.loss[0]
    assert record.accuracy == ()
    assert set(sizes) == {20}
    whole = copy.deepcopy(model)
    saving = Saving(tmp_path)
    fit(model, batches, epochs=2, learning_rate=0.1, loss=squared, saving=saving)
    resumed = fit(whole, batches, epochs=2, learning_rate=0.1, loss=squared, saving=replace(saving, resume=True))
    assert equal(whole, model)
    assert len(resumed.loss) == 2


def test_another_loss_must_be_a_scalar_and_has_no_accuracy_to_watch():
    batches = [blobs()]
    with pytest.raises(InputError, match=r"`loss` must return a scalar tensor, got a tensor of shape \[60, 3\]"):
        fit(nn.Linear(4, 3), batches, epochs=1, loss=lambda output, batch: output)
    with pytest.raises(InputError, match="`loss` must return a scalar tensor, got float"):
        fit(nn.Linear(4, 3), batches, epochs=1, loss=lambda output, batch: 1.0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="`patience` watches the accuracy"):
        fit(nn.Linear(4, 3), batches, epochs=1, loss=lambda output, batch: output.mean(), patience=1)


def test_what_happens_before_an_epoch_is_told_its_number_also_after_a_resume(tmp_path):
    batches, told = [blobs()], []
    model, saving = nn.Linear(4, 3), Saving(tmp_path)
    fit(model, batches, epochs=3, saving=saving, before_epoch=told.append)
    assert told == [1, 2, 3]

    def stop(training):
        if len(training.loss) == 2:
            raise KeyboardInterrupt

    other, folder = nn.Linear(4, 3), tmp_path / "other"
    with pytest.raises(KeyboardInterrupt):
        fit(other, batches, epochs=3, saving=Saving(folder), before_epoch=told.append, after_epoch=stop)
    fit(other, batches, epochs=3, saving=Saving(folder, resume=True), before_epoch=told.append)
    assert told == [1, 2, 3, 1, 2, 2, 3]


def test_divergence_is_told_from_other_faults_of_data():
    with pytest.raises(Diverged, match="the loss is nan in epoch 1"):
        fit(nn.Linear(4, 3), [blobs()], epochs=1, loss=lambda output, batch: output.mean() * float("nan"))


def test_parameters_that_a_bending_names_have_their_decay_from_it():
    class Nothing:
        def penalty(self):
            return torch.zeros(())

        def snap(self, optimizer=None):
            return 0

        def parameter_groups(self, weight_decay=0.0):
            return []

    with pytest.raises(InputError, match="`decayed` must be 'all' where `bending` names the parameters"):
        fit(nn.Linear(4, 3), [blobs()], epochs=1, decayed="weights", bending=Nothing())
