"""Process that runs the authors' release (see `official.py`); its argument is a task as JSON.

It prints one JSON line when it is ready and one after each line that it reads, and ends with its
input. The following parts of the release are replaced, all from outside; none of them belongs to
the work that is timed:

- CIFAR-10 is noise of the same shape, so nothing is downloaded. The pool of extractors is two files
  written by a network of the release, which finds them through the default argument that holds the
  author's path.
- The loop over iterations waits for a line before each iteration, because the script gets a `range`
  that does so.
- Parameter files can be loaded on a single GPU or a CPU: the script prefixes every name with
  "module.", which only fits networks on several GPUs. The GPUs that it selects by number are
  ignored.
- Loggers and packages that are missing are replaced by empty objects, and wandb always is. A
  missing torchnet is replaced by a counter of correct answers, which IDM needs.

Time is measured over the body of an iteration, or over each call of the release's `epoch`.
"""

import importlib
import importlib.util
import json
import os
import runpy
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torchvision
from clock import Clock
from torch import Tensor, nn

ITERATIONS = 123_456_788
"""More than anyone waits for; this length identifies the `range` of the loop over iterations."""
OPTIONAL = {
    "kornia": ("kornia",),
    "tqdm": ("tqdm",),
    "einops": ("einops", "einops.layers", "einops.layers.torch"),
    "torchnet": ("torchnet",),
}
"""Packages that the release imports but timed code does not need, with the imported modules."""
ARGUMENTS = {
    "main_DM_IID.py": "--lr_img 1",
    "IDM_cifar10_IID.py": (
        "--lr_img 0.2 --net_train_real --outer_loop 1 --mismatch_lambda 0 --net_decay "
        "--embed_last 1000 --syn_ce --ce_weight 0.5 --train_net_num 1 --aug"
    ),
}
COMMON = (
    "--dataset CIFAR10 --model ConvNet --init real --dsa_strategy"
    " color_crop_cutout_flip_scale_rotate --num_exp 1"
)


class Noise:
    """Replaces `torchvision.datasets.CIFAR10`: normalized images (3, 32, 32) and their classes."""

    classes = tuple(map(str, range(10)))

    def __init__(self, images: int, *_: object, train: bool = True, **__: object) -> None:
        draws = torch.Generator().manual_seed(int(train))
        self.images = torch.randn(10 * images, 3, 32, 32, generator=draws)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index >= len(self):
            raise IndexError(index)
        return self.images[index], index % 10


class Silent:
    """Replaces a package: every attribute and every call returns the object itself."""

    def __getattr__(self, name: str) -> "Silent":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: object, **__: object) -> "Silent":
        return self


class AccuracyMeter:
    """Replaces torchnet's ClassErrorMeter as far as IDM needs it: accuracy in percent."""

    def __init__(self, accuracy: bool = True) -> None:
        self.reset()

    def reset(self) -> None:
        self.count, self.correct = 0, 0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        self.correct += int((logits.argmax(1) == labels).sum())
        self.count += len(labels)

    def value(self) -> list[float]:
        return [100 * self.correct / max(1, self.count)]


def main() -> None:
    task = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the release prints to stdout, which is for answers
    prepare(task)
    run = {"distillation": run_distillation, "evaluation": run_evaluation}[task["kind"]]
    run(task, partial(print, file=answers, flush=True))


def prepare(task: dict[str, Any]) -> None:
    """Set threads and device, and provide the modules that the release imports."""
    torch.set_num_threads(task["threads"])
    use_one_device(task["device"])
    sys.path.insert(0, str(Path(task["script"]).parent))
    missing = [package for package in OPTIONAL if importlib.util.find_spec(package) is None]
    stand_ins: dict[str, Any] = {}
    for package in missing:
        stand_ins.update({name: Silent() for name in OPTIONAL[package]})
    if "torchnet" in missing:
        stand_ins["torchnet"].meter = Namespace(ClassErrorMeter=AccuracyMeter)
    sys.modules.update(stand_ins | {"wandb": Silent()})  # type: ignore[arg-type]
    torchvision.datasets.CIFAR10 = partial(Noise, task["images"])


def use_one_device(device: str) -> None:
    """Hide all GPUs but the first, or all of them."""
    if device == "cuda":
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.partition(",")[0]
        # Initializes CUDA, so that what a script sets later has no effect.
        torch.zeros(1, device="cuda")
    else:
        torch.cuda.is_available = lambda: False
        torch.cuda.device_count = lambda: 0


def run_distillation(task: dict[str, Any], answer: Callable[[str], None]) -> None:
    """Run the main function of the script, one iteration per line."""
    script = Path(task["script"])
    utilities = importlib.import_module("utils")
    networks = importlib.import_module("dc_utils") if "IDM" in script.name else utilities
    write_pool(networks, utilities, Path(task["folder"]) / "pool")
    networks.get_network = accept_prefixed_names(networks.get_network)  # type: ignore[attr-defined]
    options = (
        f"{COMMON} {ARGUMENTS[script.name]} --ipc {task['ipc']} --eval_mode last --Iteration"
        f" {ITERATIONS}"
    )
    sys.argv = [
        str(script),
        *options.split(),
        "--data_path",
        task["folder"],
        "--save_path",
        task["folder"],
    ]
    loop = partial(choose_range, Clock(task["device"]), answer)
    runpy.run_path(str(script), init_globals={"range": loop}, run_name="__main__")


def choose_range(
    clock: Clock, answer: Callable[[str], None], *bounds: int
) -> Iterator[int] | range:
    """Return the requested range; the one over iterations waits for a line before each."""
    return wait_and_time(clock, answer) if bounds == (ITERATIONS + 1,) else range(*bounds)


def wait_and_time(clock: Clock, answer: Callable[[str], None]) -> Iterator[int]:
    """Yield an iteration per line of input, and answer with its time."""
    answer(json.dumps({}))
    for iteration, _ in enumerate(sys.stdin):
        clock.start()
        yield iteration
        answer(json.dumps(clock.stop_part("iteration")))
    sys.exit()


def write_pool(networks: ModuleType, utilities: ModuleType, folder: Path) -> None:
    """Write two extractors, and let the release read them instead of its thousand."""
    folder.mkdir()
    for index in range(2):
        torch.save(
            networks.get_network("ResNet18", 3, 10, (32, 32)).state_dict(),
            folder / f"buffer{index}.pth",
        )
    utilities.get_premodel.__defaults__ = (str(folder),)


def accept_prefixed_names(get_network: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Let a network on one device load parameters with the names of several devices."""

    @wraps(get_network)
    def wrapped(*arguments: Any, **options: Any) -> nn.Module:
        network = get_network(*arguments, **options)
        load = network.load_state_dict

        def load_renamed(state: dict[str, Tensor]) -> object:
            return load({name.removeprefix("module."): value for name, value in state.items()})

        network.load_state_dict = load_renamed  # type: ignore[method-assign,assignment]
        return network

    return wrapped


def run_evaluation(task: dict[str, Any], answer: Callable[[str], None]) -> None:
    """Train and test a fresh network per line with the release's evaluate_synset."""
    utilities: Any = importlib.import_module("utils")
    spent: Counter[str] = Counter()
    utilities.epoch = time_epochs(utilities.epoch, Clock(task["device"]), spent)
    settings = Namespace(
        device=task["device"],
        lr_net=0.01,
        epoch_eval_train=task["epochs"] - 1,
        batch_train=256,
        dsa=True,
        dsa_strategy="color_crop_cutout_flip_scale_rotate",
        dsa_param=utilities.ParamDiffAug(),
    )
    test = utilities.get_dataset("CIFAR10", task["folder"])[-1]
    images = torch.randn(10 * task["ipc"], 3, 32, 32)
    labels = torch.arange(10).repeat_interleave(task["ipc"])
    answer(json.dumps({}))
    for index, _ in enumerate(sys.stdin):
        spent.clear()
        network = utilities.get_network(task["network"], 3, 10, (32, 32)).to(task["device"])
        utilities.evaluate_synset(index, network, images, labels, test, settings)
        answer(json.dumps(spent))


def time_epochs(epoch: Callable[..., Any], clock: Clock, spent: Counter[str]) -> Callable[..., Any]:
    """Add the time of every call to `spent`, by mode."""

    @wraps(epoch)
    def wrapped(mode: str, *arguments: Any, **options: Any) -> Any:
        clock.start()
        result = epoch(mode, *arguments, **options)
        spent.update(clock.stop_part(mode))  # type: ignore[arg-type]
        return result

    return wrapped


if __name__ == "__main__":
    main()
