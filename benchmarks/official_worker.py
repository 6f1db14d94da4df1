"""Process in which the authors' release runs (see `official.py`): argument one, a task as JSON.

It prints one JSON line when it is ready and one after each line read, and ends when its input does.
What is replaced in the release, all of it from outside and none of it part of the work that is
timed:

- CIFAR-10 is noise of the same shape, so that nothing is downloaded; the pool of extractors is two
  files that the release's own network wrote, named to it through the default argument that holds
  its author's path;
- the loop over iterations waits for a line before each iteration: the script sees a `range` that
  does;
- a parameter file is accepted by a single GPU or a CPU too: the script prefixes every name with
  "module.", which fits networks on several GPUs only; and the GPUs that it picks by number are not
  picked;
- loggers and packages that it imports are empty stand-ins where they are missing, and wandb always
  is. A missing torchnet is replaced by a counter of right answers, which IDM needs.

Time runs from the start of an iteration's body to its end, or over each of the release's own
`epoch` calls.
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
"""More than anyone waits for, and told from every other range by its length."""
OPTIONAL = {
    "kornia": ("kornia",),
    "tqdm": ("tqdm",),
    "einops": ("einops", "einops.layers", "einops.layers.torch"),
    "torchnet": ("torchnet",),
}
"""Packages that the release imports and what is timed does without, with the modules it names."""
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
    """Stands for `torchvision.datasets.CIFAR10`: normalized images (3, 32, 32) and their classes,
    in turn.
    """

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
    """Stands for a package: everything it has can be called, and gives itself."""

    def __getattr__(self, name: str) -> "Silent":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: object, **__: object) -> "Silent":
        return self


class RightAnswers:
    """What IDM uses of torchnet's ClassErrorMeter: the accuracy so far in percent."""

    def __init__(self, accuracy: bool = True) -> None:
        self.reset()

    def reset(self) -> None:
        self.n, self.right = 0, 0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        self.right += int((logits.argmax(1) == labels).sum())
        self.n += len(labels)

    def value(self) -> list[float]:
        return [100 * self.right / max(1, self.n)]


def main() -> None:
    task = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the release prints as it goes
    prepare(task)
    run = {"distillation": distillation, "evaluation": evaluation}[task["kind"]]
    run(task, partial(print, file=answers, flush=True))


def prepare(task: dict[str, Any]) -> None:
    """Set threads and devices, and give the release the modules that it imports."""
    torch.set_num_threads(task["threads"])
    use_one_device(task["device"])
    sys.path.insert(0, str(Path(task["script"]).parent))
    missing = [package for package in OPTIONAL if importlib.util.find_spec(package) is None]
    stand_ins: dict[str, Any] = {
        name: Silent() for package in missing for name in OPTIONAL[package]
    }
    if "torchnet" in missing:
        stand_ins["torchnet"].meter = Namespace(ClassErrorMeter=RightAnswers)
    sys.modules.update(stand_ins | {"wandb": Silent()})  # type: ignore[arg-type]
    torchvision.datasets.CIFAR10 = partial(Noise, task["images"])


def use_one_device(device: str) -> None:
    if device == "cuda":
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(
            ","
        )[0]
        torch.zeros(
            1, device="cuda"
        )  # from here on the devices are settled, whatever a script sets
    else:
        torch.cuda.is_available = lambda: False
        torch.cuda.device_count = lambda: 0


def distillation(task: dict[str, Any], answer: Callable[[str], None]) -> None:
    """Run the script's own main, one iteration for each line."""
    script = Path(task["script"])
    utilities = importlib.import_module("utils")
    networks = importlib.import_module("dc_utils") if "IDM" in script.name else utilities
    write_pool(networks, utilities, Path(task["folder"]) / "pool")
    networks.get_network = accepting(networks.get_network)  # type: ignore[attr-defined]
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
    loop = partial(stepwise, Clock(task["device"]), answer)
    runpy.run_path(str(script), init_globals={"range": loop}, run_name="__main__")


def stepwise(clock: Clock, answer: Callable[[str], None], *bounds: int) -> Iterator[int] | range:
    """Return the range that was asked for; the loop over iterations waits for a line before
    each.
    """
    return steps(clock, answer) if bounds == (ITERATIONS + 1,) else range(*bounds)


def steps(clock: Clock, answer: Callable[[str], None]) -> Iterator[int]:
    answer(json.dumps({}))
    for iteration, _ in enumerate(sys.stdin):
        clock.start()
        yield iteration
        answer(json.dumps(clock.measured("iteration")))
    sys.exit()


def write_pool(networks: ModuleType, utilities: ModuleType, folder: Path) -> None:
    """Write two extractors where the release will look for its thousand."""
    folder.mkdir()
    for index in range(2):
        torch.save(
            networks.get_network("ResNet18", 3, 10, (32, 32)).state_dict(),
            folder / f"buffer{index}.pth",
        )
    utilities.get_premodel.__defaults__ = (str(folder),)


def accepting(get_network: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Let a network on one device load parameters named as on several."""

    @wraps(get_network)
    def wrapped(*arguments: Any, **options: Any) -> nn.Module:
        network = get_network(*arguments, **options)
        load = network.load_state_dict
        network.load_state_dict = lambda state: load(
            {k.removeprefix("module."): v for k, v in state.items()}
        )  # type: ignore[method-assign,assignment,misc]
        return network

    return wrapped


def evaluation(task: dict[str, Any], answer: Callable[[str], None]) -> None:
    """Train and test a fresh network for each line, by the release's evaluate_synset."""
    utilities: Any = importlib.import_module("utils")
    spent: Counter[str] = Counter()
    utilities.epoch = timed(utilities.epoch, Clock(task["device"]), spent)
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
    images, labels = (
        torch.randn(10 * task["ipc"], 3, 32, 32),
        torch.arange(10).repeat_interleave(task["ipc"]),
    )
    answer(json.dumps({}))
    for index, _ in enumerate(sys.stdin):
        spent.clear()
        network = utilities.get_network(task["network"], 3, 10, (32, 32)).to(task["device"])
        utilities.evaluate_synset(index, network, images, labels, test, settings)
        answer(json.dumps(spent))


def timed(epoch: Callable[..., Any], clock: Clock, spent: Counter[str]) -> Callable[..., Any]:
    @wraps(epoch)
    def wrapped(mode: str, *arguments: Any, **options: Any) -> Any:
        clock.start()
        result = epoch(mode, *arguments, **options)
        spent.update(clock.measured(mode))  # type: ignore[arg-type]
        return result

    return wrapped


if __name__ == "__main__":
    main()
