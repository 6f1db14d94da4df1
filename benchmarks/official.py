"""Sides that run the authors' release from an unchanged checkout; no part of it is copied here.

    with start_distillation(Path("IID"), "DM+IID", ipc=10, device="cpu") as release:
        release()  # {"iteration": seconds, "iteration processor": seconds}

A side is a separate process (`official_worker.py`): the two folders of the release have modules
with the same names, set environment variables and seed global generators. The process waits between
two calls, so sides can alternate. Time is measured inside it. The worker documents what is replaced
in the release, and why.
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
IMAGES_PER_CLASS = 5000


class OfficialError(RuntimeError):
    """The checkout is not the release, or its code failed; the message ends with its output."""


class ReleaseSide:
    """One case of the release in a separate process; every call runs it once.

    It returns seconds by part, and processor seconds by the name of the part with " processor".
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
            self._read_answer()
        except OfficialError:
            self.close()
            raise

    def __call__(self) -> dict[str, float]:
        assert self.process.stdin is not None
        try:
            print("go", file=self.process.stdin, flush=True)
        except BrokenPipeError as error:
            raise self._build_error() from error
        return self._read_answer()

    def close(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.communicate()
        self.folder.cleanup()

    def __enter__(self) -> "ReleaseSide":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read_answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise self._build_error()
        answer: dict[str, float] = json.loads(line)
        return answer

    def _build_error(self) -> OfficialError:
        self.process.wait()
        output = "\n".join(self.log.read_text().splitlines()[-12:])
        return OfficialError(
            f"the release's code ended in {self.task['script']}; its last lines:\n{output}"
        )


def start_distillation(
    path: Path,
    method: str,
    ipc: int,
    device: torch.device | str = "cpu",
    *,
    images: int = IMAGES_PER_CLASS,
) -> ReleaseSide:
    """Start a side that runs one iteration of the release's DM+IID or IDM+IID per call.

    Args:
        path: checkout of the release.
        method: DM+IID or IDM+IID, with the arguments of the release's README.
        ipc: images per class.
        device: cpu or cuda; it uses only the first of several GPUs.
        images: noise images per class instead of CIFAR-10.

    Raises:
        OfficialError: the checkout is not the release, the method is unknown, or the release's code
            failed.
    """
    if method not in SCRIPTS:
        raise OfficialError(f"the release has no {method}; known are {', '.join(SCRIPTS)}")
    return ReleaseSide(
        _build_task(path, SCRIPTS[method], ipc, device, images) | {"kind": "distillation"}
    )


def start_evaluation(
    path: Path,
    network: str,
    ipc: int,
    device: torch.device | str = "cpu",
    *,
    epochs: int,
    test_images: int = 10_000,
) -> ReleaseSide:
    """Start a side that trains and tests one network with the release's code per call.

    Args:
        path: checkout of the release.
        network: name of the architecture in the release, such as ConvNet or ResNet18.
        ipc: images per class, with 10 classes of 32 × 32 pixels.
        device: cpu or cuda; it uses only the first of several GPUs.
        epochs: at least 2.
        test_images: noise images instead of CIFAR-10's test images.

    Raises:
        OfficialError: the checkout is not the release, or its code failed.
    """
    task = _build_task(path, "DM+ours/utils.py", ipc, device, test_images // 10)
    return ReleaseSide(task | {"kind": "evaluation", "network": network, "epochs": epochs})


def require_release(path: Path) -> None:
    """Check that `path` is a checkout of the release.

    Raises:
        OfficialError: a file is missing; the message names it and says what to do.
    """
    for name in (*SCRIPTS.values(), *MODULES):
        if not (path / name).is_file():
            raise OfficialError(
                f"{path} does not look like the authors' release: {name} is missing. "
                "Give the folder of a checkout of github.com/VincenDen/IID, unchanged."
            )


def _build_task(
    path: Path, script: str, ipc: int, device: torch.device | str, images: int
) -> dict[str, object]:
    require_release(path)
    return {
        "script": str((path / script).resolve()),
        "ipc": ipc,
        "device": torch.device(device).type,
        "threads": torch.get_num_threads(),
        "images": images,
    }
