"""DD-Ranking: `images.pt`, normalized and sorted by class, and `labels.pt`."""

from pathlib import Path

from distill_core.exporters.content import ExportContent, ExportError, Format
from distill_core.exporters.tensor_pair import TensorPair

FILES = TensorPair("images.pt", "labels.pt")


def _write(content: ExportContent, folder: Path) -> None:
    if content.soft_labels is None and len(set(content.count_by_class())) > 1:
        raise ExportError(
            "classes have different numbers of images, which DD-Ranking cannot read; choose mtt"
            " or dc"
        )
    FILES.write(content, folder)


DDRANKING = Format(
    name="ddranking",
    about=(
        f"What DD-Ranking's metrics take as `image_tensor`: `{FILES.images}`, normalized, (classes"
        f" × IPC, C, H, W) in the order of the classes; `{FILES.labels}` in the same order"
        " (DD-Ranking's `soft_labels` where they are soft)."
    ),
    write=_write,
    read=FILES.read,
    build_loading_code=FILES.build_loading_code,
    by_class=True,
)
