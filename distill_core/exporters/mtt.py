"""MTT, TESLA, FTD, DATM: `images_best.pt`, normalized, and `labels_best.pt`, hard or soft."""

from distill_core.exporters.content import Format
from distill_core.exporters.tensor_pair import TensorPair

FILES = TensorPair("images_best.pt", "labels_best.pt")


MTT = Format(
    name="mtt",
    about=(
        f"The layout of MTT, TESLA, FTD and DATM: `{FILES.images}`, normalized and not"
        f" ZCA-whitened, and `{FILES.labels}`."
    ),
    write=FILES.write,
    read=FILES.read,
    build_loading_code=FILES.build_loading_code,
)
