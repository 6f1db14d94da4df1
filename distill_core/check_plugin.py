"""Trying a custom loss, base or network on a small data set of noise, in seconds."""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch

from distill_core.datasets.image_set import ImageSet
from distill_core.datasets.info import DatasetInfo
from distill_core.datasets.load import Dataset
from distill_core.distillation.check_parts import check_network
from distill_core.distillation.loop import distill, distill_cohort
from distill_core.distillation.run import Hooks, SetRun
from distill_core.distillation.state import DistillationState
from distill_core.extensions import import_object
from distill_core.networks import Network, network_for
from distill_core.seeds import generator, use_global_seed
from distill_core.settings import DistillationSettings, Options, SettingsError

CLASSES, IMAGES, IPC = 3, 20, 2
ITERATIONS, INTERRUPTED_AT = 4, 2


class Seen(NamedTuple):
    """One thing that was tried."""

    what: str
    found: str
    is_good: bool = True


class _Interrupted(Exception):
    """Ends a run after its checkpoint."""


def check_plugin(
    name: str, *, channels: int = 1, image_size: int = 32, options: Options = ()
) -> Iterator[Seen]:
    """Try a custom object, and yield what is seen, one after the other.

    Args:
        name: `module:object`: a network, a base or a loss.
        channels: of the images.
        image_size: side of the images in pixels.
        options: of a loss.

    Raises:
        SettingsError: it cannot be used at all; the message names it.
    """
    dataset = build_noise(channels, image_size)
    found = import_object(name)
    settings = DistillationSettings(
        network="ConvNetW8D2", iterations=ITERATIONS, batch_real=8, lr_img=0.1
    )
    if isinstance(found, type) and issubclass(found, Network):
        network = network_for(dataset.info, name, "cpu")
        check_network(name, network, dataset)
        maps = network.feature_map(dataset.train.normalized(torch.arange(2)).contiguous())
        parameters = sum(parameter.numel() for parameter in network.parameters())
        yield Seen("kind", f"a network of {parameters:,} parameters")
        yield Seen("feature map", f"{tuple(maps.shape[1:])} of an image")
        settings = replace(settings, network=name)
    elif all(hasattr(found, method) for method in ("draw", "update")):
        yield Seen("kind", "a base method")
        settings = replace(settings, base=name)
    elif callable(found):
        yield Seen("kind", "a loss")
        settings = replace(settings, loss=name, loss_options=options)
    else:
        raise SettingsError(f"{name!r} is a {type(found).__name__}: no network, base or loss")
    yield from _compare_runs(dataset, settings)


def _compare_runs(dataset: Dataset, settings: DistillationSettings) -> Iterator[Seen]:
    def run(**options: object) -> DistillationState:
        return distill(dataset, settings, ipc=IPC, seed=0, **options)  # type: ignore[arg-type]

    with use_global_seed(1):
        state = run()
    norms = state.curve.values["gradient_norm"]
    yield Seen("gradient", f"finite, norm {norms[0]:.3g} at first, {norms[-1]:.3g} at last")
    for label, values in state.curve.values.items():
        if label.startswith("own"):
            yield Seen("loss", f"{values[0]:.4g} at first, {values[-1]:.4g} at last")
    with use_global_seed(2):
        again = run()
    yield _compare("two runs", again.images, state.images, "equal", "a draw is not seeded")
    yield _compare_chunks(run(class_chunk=CLASSES), run(class_chunk=1))
    if settings.base is None:
        cells = [SetRun(settings=replace(settings, lambda_cm=1e-3)), SetRun(settings=settings)]
        together = distill_cohort(dataset, cells, ipc=IPC, seed=0)[1]
        if isinstance(together, Exception):
            raise together
        yield _compare(
            "in a cohort", together.images, state.images, "as alone", "sets share something"
        )
    yield _compare(
        "resumed",
        run(resume=_interrupt(dataset, settings)).images,
        state.images,
        "as uninterrupted",
        "there is state that tensors() and restore() do not keep",
    )


def _compare_chunks(whole: DistillationState, parts: DistillationState) -> Seen:
    """Compare the loss at first, then the pixels at last.

    The pixels alone would not show a loss that is small next to the base's.
    """
    what, good = "classes in chunks", "as all at once, within rounding"
    reason = "the loss is no sum over classes, or draws from a global generator (use view.draw)"
    for label, values in whole.curve.values.items():
        at_once, summed = values[0], parts.curve.values[label][0]
        if label.startswith("own") and not math.isclose(at_once, summed, rel_tol=1e-2):
            found = f"the loss is {at_once:.4g} for all classes, {summed:.4g} summed over each"
            return Seen(what, f"NOT {good}: {found}; {reason}", False)
    return _compare(what, parts.images, whole.images, good, reason, tolerance=1e-3)


def _compare(
    what: str,
    images: torch.Tensor,
    expected: torch.Tensor,
    good: str,
    reason: str,
    tolerance: float = 0.0,
) -> Seen:
    largest = float((images - expected).abs().max())
    if largest <= tolerance:
        return Seen(what, good)
    return Seen(what, f"NOT {good}: pixels differ by up to {largest:.2g}; {reason}", False)


def _interrupt(dataset: Dataset, settings: DistillationSettings) -> DistillationState:
    """Return the state of a run that was interrupted, as read from its checkpoint."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "state.safetensors"
        iterations = iter(range(1, ITERATIONS + 1))

        def save(state: DistillationState) -> None:
            state.save(file)
            raise _Interrupted

        hooks = Hooks(checkpoint_due=lambda: next(iterations) == INTERRUPTED_AT, checkpoint=save)
        with suppress(_Interrupted):
            distill(dataset, settings, ipc=IPC, seed=0, hooks=hooks)
        return DistillationState.load(file)


def build_noise(channels: int, image_size: int) -> Dataset:
    """Return a data set of noise around another gray in each class."""
    info = DatasetInfo(
        name="noise",
        title="Noise",
        channels=channels,
        image_size=image_size,
        classes=tuple(f"class {label}" for label in range(CLASSES)),
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        train_images=CLASSES * IMAGES,
        test_images=CLASSES * IMAGES,
        source="made to try custom objects",
    )
    labels = torch.arange(CLASSES).repeat_interleave(IMAGES)
    draws = generator("noise images", channels, image_size)
    shape = (len(labels), channels, image_size, image_size)
    pixels = 64 * (labels.view(-1, 1, 1, 1) + 1) + 40 * torch.randn(shape, generator=draws)
    images = ImageSet.build(
        pixels.clamp(0, 255).to(torch.uint8),
        labels,
        classes=CLASSES,
        name=info.name,
        mean=info.mean,
        std=info.std,
    )
    return Dataset(info=info, train=images, test=images, fingerprint="0" * 16)
