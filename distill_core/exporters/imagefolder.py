"""ImageFolder: a folder of PNG files per class, named so that sorted folders are in label order."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from distill_core.exporters.content import ExportContent, Format
from distill_core.exporters.png import to_picture
from distill_core.synthetic_set import SyntheticSet, to_normalized


def build_folder_name(label: int, name: str, classes: int) -> str:
    """Return the folder name of a class, such as 03_cat; special characters become hyphens."""
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
    return f"{label:0{len(str(classes - 1))}d}_{safe}"


def _write(content: ExportContent, folder: Path) -> None:
    names = content.source.class_names
    digits = len(str(max(content.count_by_class()) - 1))
    written = [0] * len(names)
    for pixels, label in zip(content.to_bytes(), content.labels.tolist(), strict=True):
        place = folder / build_folder_name(label, names[label], len(names))
        place.mkdir(exist_ok=True)
        to_picture(pixels).save(place / f"{written[label]:0{digits}d}.png")
        written[label] += 1


def _read(folder: Path, source: SyntheticSet) -> tuple[Tensor, Tensor]:
    from torchvision.datasets import ImageFolder
    from torchvision.transforms.functional import to_tensor

    mode = "L" if source.images.shape[1] == 1 else "RGB"

    def load(path: str) -> Tensor:
        tensor: Tensor = to_tensor(Image.open(path).convert(mode))
        return tensor

    pairs = list(ImageFolder(str(folder), loader=load))
    images = torch.stack([image for image, _ in pairs])
    labels = torch.tensor([label for _, label in pairs])
    return to_normalized(images, source.mean, source.std), labels


def _build_loading_code(content: ExportContent) -> str:
    source = content.source
    steps = [
        "transforms.ToTensor()",
        f"transforms.Normalize({list(source.mean)}, {list(source.std)})",
    ]
    if source.images.shape[1] == 1:
        steps.insert(0, "transforms.Grayscale()")
    return "\n".join(
        [
            "from torchvision import datasets, transforms",
            "",
            f"transform = transforms.Compose([{', '.join(steps)}])",
            'pairs = list(datasets.ImageFolder(".", transform=transform))',
            (
                "images, labels = torch.stack([x for x, _ in pairs]), torch.tensor([y for _, y in"
                " pairs])"
            ),
        ]
    )


IMAGEFOLDER = Format(
    name="imagefolder",
    about=(
        "A folder of PNG files for each class, which torchvision's `ImageFolder` reads: pixels, not"
        " normalized."
    ),
    write=_write,
    read=_read,
    build_loading_code=_build_loading_code,
    by_class=True,
    eight_bits=True,
    soft_labels=False,
)
