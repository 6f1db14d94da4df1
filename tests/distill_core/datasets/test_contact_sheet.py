import numpy as np
import pytest

from distill_core.datasets.contact_sheet import draw_contact_sheet
from distill_core.datasets.load import load_dataset
from distill_core.settings import DatasetRef


@pytest.mark.parametrize("channels", [1, 3])
def test_every_class_has_a_row_of_its_own_images(tmp_path, pixels, encode, channels):
    for shade, name in ((40, "猫"), (200, "dog")):
        folder = tmp_path / "pets" / "train" / name
        folder.mkdir(parents=True)
        for number in range(3):
            image = np.full((8, 8, channels), shade, dtype=np.uint8)
            (folder / f"{number}.png").write_bytes(encode(image))
    ref = DatasetRef(name="pets", format="imagefolder", path="pets")
    data = load_dataset(ref, tmp_path)
    sheet = np.asarray(draw_contact_sheet(data, per_class=4))
    cell = sheet.shape[0] // 2
    left = sheet.shape[1] - 4 * cell
    for row, shade in enumerate((200, 40)):
        place = (row * cell + cell // 2, left + cell // 2)
        assert (sheet[place] == shade).all()
        assert (sheet[place[0], place[1] + 2 * cell] == 255).all()  # two images are in training
