import io

import numpy as np
import pytest
from matplotlib.image import imread

from orchestrator.report.figures import write_figures

CC, CM = "distillation.lambda_cc", "distillation.lambda_cm"
MATCHING = "distillation.network"


@pytest.fixture(scope="module")
def every_kind(new_maker):
    maker = new_maker()
    for method in ("Random", "DM", "DM+IID"):
        for ipc in (1, 10):
            for network in ("ConvNet", "ResNet18"):
                maker.measure(method, ipc, [0.4, 0.42], [0.5, 0.46], network=network)
        maker.follow(method, [[0.9], [0.5]], [[0.8], [0.4]])
        maker.view(
            method,
            [(c, o, 1.0 + c, 0.5, [(c, 1), (c, 2)]) for c in (0, 1) for o in ("real", "synthetic")],
        )
    for cc in (0, 0.05):
        for cm in (0, 0.01):
            maker.measure("DM+IID", 10, [0.4 + cc, 0.4 + cm], sweep=((CC, cc), (CM, cm)))
    for matching in ("AlexNet", "VGG11"):
        for network in ("ConvNet", "VGG11"):
            maker.measure("DM", 10, [0.4], network=network, sweep=((MATCHING, matching),))
    return maker.results


@pytest.fixture(scope="module")
def written(every_kind, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return folder, write_figures(every_kind, folder)


def test_every_figure_has_a_picture_a_vector_graphic_and_a_caption(written):
    folder, pictures = written
    assert [picture.group for picture in pictures] == [
        "compression",
        "compression",
        "architectures",
        "architectures",
        "architectures",
        "generalization",
        "generalization",
        "sensitivity",
        "continual",
        "features",
        "features",
    ]
    assert len({picture.path for picture in pictures}) == len(pictures)
    for picture in pictures:
        assert (folder / picture.path).read_bytes()[:4] == b"\x89PNG"
        assert (folder / picture.path).with_suffix(".svg").read_text().rstrip().endswith("</svg>")
        assert picture.caption.endswith(".")
        assert picture.title.startswith("main: cifar10, ")


def test_equal_rows_give_equal_files(written, every_kind, tmp_path):
    folder, pictures = written
    write_figures(every_kind, tmp_path)
    files = sorted(path.relative_to(folder) for path in (folder / "figures").iterdir())
    assert len(files) == 2 * len(pictures)
    for file in files:
        assert (folder / file).read_bytes() == (tmp_path / file).read_bytes()


def test_nothing_is_cut_off(written):
    """Every figure keeps a white border."""
    folder, pictures = written
    for picture in pictures:
        pixels = np.asarray(imread(io.BytesIO((folder / picture.path).read_bytes())))[..., :3]
        border = np.concatenate(
            [
                pixels[:2].reshape(-1, 3),
                pixels[-2:].reshape(-1, 3),
                pixels[:, :2].reshape(-1, 3),
                pixels[:, -2:].reshape(-1, 3),
            ]
        )
        assert (border > 0.98).all(), picture.title


def test_an_empty_plan_has_no_figures(maker, tmp_path):
    assert write_figures(maker.results, tmp_path) == ()
    assert not list(tmp_path.iterdir())


def test_a_plan_without_results_has_no_figures(maker, tmp_path):
    for ipc in (1, 10):
        for network in ("ConvNet", "MLP"):
            maker.measure("DM", ipc, None, network=network)
            maker.measure("DM", ipc, None, network=network, sweep=((CC, 0.1 * ipc), (CM, 0.1)))
    assert write_figures(maker.results, tmp_path) == ()
