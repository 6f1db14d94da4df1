"""The authors' release beside ours: drives a checkout that the user points at, as it is; nothing of
it is kept here.

    with distillation_side(Path("IID"), "DM+IID", ipc=10, device="cpu") as theirs:
        theirs()  # {"iteration": seconds, "iteration processor": seconds}

A side is a process of its own (`official_worker.py`): the release's two folders have modules of the
same names, set environment variables and seed the global generators. It waits between two calls, so
that runs can alternate; seconds are taken inside it. What is replaced in the release, and why,
stands in the worker.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

import torch

SCRIPTS = {"DM+IID": "DM+ours/main_DM_IID.py", "IDM+IID": "IDM+ours/IDM_cifar10_IID.py"}
MODULES = ("DM+ours/utils.py", "DM+ours/networks.py", "IDM+ours/utils.py", "IDM+ours/dc_utils.py")
WORKER = Path(__file__).with_name("official_worker.py")
IMAGES_A_CLASS = 5000


class OfficialError(RuntimeError):
    """The checkout is not the release, or its code failed; the message ends with what it said."""


class Side:
    """One case of the release in a process of its own; every call runs it once.

    It returns seconds by part, and the processor's seconds under the part's name with " processor"
    behind it.
    """

    def __init__(self, task: dict[str, object]) -> None:
        self.task = task
        self.folder = tempfile.TemporaryDirectory(prefix="official-")
        self.log = Path(self.folder.name) / "log.txt"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, WORKER, json.dumps(task | {"folder": self.folder.name})],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.folder.name,
            )
        try:
            self._answer()
        except OfficialError:
            self.close()
            raise

    def __call__(self) -> dict[str, float]:
        assert self.process.stdin is not None
        try:
            print("go", file=self.process.stdin, flush=True)
        except BrokenPipeError as error:
            raise self._failure() from error
        return self._answer()

    def close(self) -> None:
        self.process.terminate()
        self.process.communicate()
        self.folder.cleanup()

    def __enter__(self) -> "Side":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise self._failure()
        answer: dict[str, float] = json.loads(line)
        return answer

    def _failure(self) -> OfficialError:
        self.process.wait()
        said = "\n".join(self.log.read_text().splitlines()[-12:])
        return OfficialError(
            f"the release's code ended in {self.task['script']}; its last lines:\n{said}"
        )


def distillation_side(
    path: Path,
    method: str,
    ipc: int,
    device: torch.device | str = "cpu",
    *,
    images: int = IMAGES_A_CLASS,
) -> Side:
    """Return a side that runs one iteration of the release's DM+IID or IDM+IID a call, and says
    "iteration".

    Args:
        path: checkout of the release.
        method: DM+IID or IDM+IID, with the arguments of the release's README.
        ipc: images a class.
        device: cpu or cuda; of several GPUs it uses the first alone.
        images: noise images a class that stand for CIFAR-10's.

    Raises:
        OfficialError: the checkout is not the release, the method is unknown, or the release's code
            failed.
    """
    if method not in SCRIPTS:
        raise OfficialError(f"the release has no {method}; known are {', '.join(SCRIPTS)}")
    return Side(_task(path, SCRIPTS[method], ipc, device, images) | {"kind": "distillation"})


def evaluation_side(
    path: Path,
    network: str,
    ipc: int,
    device: torch.device | str = "cpu",
    *,
    epochs: int,
    test_images: int = 10_000,
) -> Side:
    """Return a side that trains and tests one network the release's way a call: "train" and "test".

    Args:
        path: checkout of the release.
        network: architecture by the release's name, such as ConvNet or ResNet18.
        ipc: images a class, of 10 classes of 32 × 32 pixels.
        device: cpu or cuda; of several GPUs it uses the first alone.
        epochs: passes over the set, at least 2.
        test_images: noise images that stand for CIFAR-10's test images.

    Raises:
        OfficialError: the checkout is not the release, or its code failed.
    """
    task = _task(path, "DM+ours/utils.py", ipc, device, test_images // 10)
    return Side(task | {"kind": "evaluation", "network": network, "epochs": epochs})


def check(path: Path) -> None:
    """Look whether `path` is a checkout of the release.

    Raises:
        OfficialError: it lacks files; the message names the first and says what to do.
    """
    for name in (*SCRIPTS.values(), *MODULES):
        if not (path / name).is_file():
            raise OfficialError(
                f"{path} does not look like the authors' release: {name} is missing. "
                "Give the folder of a checkout of github.com/VincenDen/IID, unchanged."
            )


def _task(
    path: Path, script: str, ipc: int, device: torch.device | str, images: int
) -> dict[str, object]:
    check(path)
    return {
        "script": str((path / script).resolve()),
        "ipc": ipc,
        "device": torch.device(device).type,
        "threads": torch.get_num_threads(),
        "images": images,
    }
