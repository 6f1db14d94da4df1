"""Errors of devices, by type and by text."""

import errno
from types import SimpleNamespace

import pytest
import torch

from orchestrator.execution import device_errors
from orchestrator.execution.device_errors import is_device_lost, is_out_of_memory

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]
STAYS = [
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    RuntimeError("CUDA error: unspecified launch failure"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_every_form_of_running_out_of_memory_is_recognized(error):
    assert is_out_of_memory(error) and not is_device_lost(error)
    outer = ValueError("the unit")
    outer.__cause__ = error
    assert is_out_of_memory(outer)


@pytest.mark.parametrize("error", STAYS, ids=str)
def test_errors_that_stay_are_no_lack_of_memory(error):
    assert is_device_lost(error) and not is_out_of_memory(error)


@pytest.mark.parametrize("error", [ValueError("loss is NaN"), OSError(28, "No space"), KeyError()])
def test_ordinary_errors_are_neither(error):
    assert not is_device_lost(error) and not is_out_of_memory(error)


def test_a_cause_that_is_its_own_cause_is_no_endless_loop():
    error, other = ValueError("a"), ValueError("b")
    error.__cause__, other.__cause__ = other, error
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    ("answer", "lost"),
    [(None, False), (STAYS[0], True), (RuntimeError("CUDA error: out of memory"), False)],
)
def test_a_device_that_answers_is_asked(monkeypatch, answer, lost):
    def ask():
        if answer is not None:
            raise answer

    fake = SimpleNamespace(
        cuda=SimpleNamespace(is_initialized=lambda: True, synchronize=ask),
        zeros=lambda *_, device: torch.zeros(1),
        OutOfMemoryError=torch.OutOfMemoryError,
    )
    monkeypatch.setitem(device_errors.sys.modules, "torch", fake)
    assert is_device_lost(ValueError("whatever it was")) == lost
