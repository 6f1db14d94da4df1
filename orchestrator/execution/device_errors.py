"""What an exception says about the device: its memory ran out, or it can compute nothing any more.

Libraries report the same fault in many ways: cuDNN, cuBLAS and the driver have errors of their own,
of which PyTorch makes a `RuntimeError` with their name in its text. So both type and text count.
"""

import errno
import logging
import re
import sys
from collections.abc import Iterator

_log = logging.getLogger(__name__)

_OUT_OF_MEMORY = re.compile(
    r"out of memory|ALLOC_FAILED|not enough memory|can't allocate memory|cannot allocate memory"
    r"|cudaErrorMemoryAllocation|CUBLAS_STATUS_NOT_INITIALIZED|device\(s\) is/are busy"
    r"|insufficient memory|failed to allocate",
    re.IGNORECASE,
)
_DEVICE_ERROR = re.compile(
    r"CUDA error|CUDA driver error|HIP error|cudaError|CUDNN_STATUS_\w+|NVML"
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out, of a device or of the machine; never imports torch."""
    torch = sys.modules.get("torch")
    for each in _list_causes(error):
        if isinstance(each, MemoryError) or (
            isinstance(each, OSError) and each.errno == errno.ENOMEM
        ):
            return True
        if torch is not None and isinstance(each, torch.OutOfMemoryError):
            return True
        if isinstance(each, RuntimeError) and _OUT_OF_MEMORY.search(str(each)):
            return True
    return False


def is_device_lost(error: BaseException) -> bool:
    """Return whether this process can no longer compute on its GPU.

    An illegal access, a failed launch or a memory fault stays: all later calls of the process
    fail, whatever unit they belong to. The device is asked, since the error may come from any call.
    """
    if is_out_of_memory(error):
        return False
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return any(_DEVICE_ERROR.search(str(each)) for each in _list_causes(error))
    try:
        torch.zeros(1, device="cuda").add_(1)
        torch.cuda.synchronize()
    except Exception as found:
        if is_out_of_memory(found):
            return False
        _log.error("the GPU does not compute any more: %s", found)
        return True
    return False


def _list_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those behind it, each once."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__
