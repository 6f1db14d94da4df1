"""The adapter to the authors' release, tested on a small imitation of the release."""

import pytest

NETWORK = """
import torch, wandb
from torchvision import datasets
from torch import nn
def get_network(model, channel, num_classes, im_size, local=False):
    return nn.Sequential(nn.Flatten(), nn.Linear(channel * im_size[0] * im_size[1], num_classes))
def get_premodel(model_path="/somewhere/else"):
    import os
    return model_path + "/" + sorted(os.listdir(model_path))[0]
class ParamDiffAug: pass
def get_dataset(name, data_path):
    test = datasets.CIFAR10(data_path, train=False, download=True, transform=None)
    return 3, (32, 32), torch.utils.data.DataLoader(test, batch_size=256)
def epoch(mode, loader, net):
    for images, labels in loader:
        net(images)
def evaluate_synset(index, net, images, labels, testloader, args):
    for _ in range(args.epoch_eval_train + 1):
        epoch('train', [(images, labels)], net)
    epoch('test', testloader, net)
"""
SCRIPT = """
import os, argparse
os.environ['CUDA_VISIBLE_DEVICES'] = "2,3"
import torch, wandb
from {networks} import get_network
from utils import get_premodel
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--Iteration', type=int)
    parser.add_argument('--ipc', type=int)
    args, _ = parser.parse_known_args()
    for it in range(args.Iteration + 1):
        wandb.log({{}})
        net = get_network("ResNet18", 3, 10, (32, 32))
        net.load_state_dict({{'module.' + k: v for k, v in torch.load(get_premodel()).items()}})
        if it == 2:
            raise ValueError('the third iteration fails')
if __name__ == '__main__':
    main()
"""


@pytest.fixture
def official(benchmark_script):
    return benchmark_script("official")


@pytest.fixture
def release(tmp_path):
    for folder, script in (("DM+ours", "main_DM_IID.py"), ("IDM+ours", "IDM_cifar10_IID.py")):
        (tmp_path / folder).mkdir()
        networks = "dc_utils" if folder == "IDM+ours" else "utils"
        (tmp_path / folder / script).write_text(SCRIPT.format(networks=networks))
        for module in ("utils", "networks", "dc_utils"):
            (tmp_path / folder / f"{module}.py").write_text(NETWORK)
    return tmp_path


@pytest.mark.parametrize("method", ["DM+IID", "IDM+IID"])
def test_iterations_are_run_one_by_one_and_a_failure_says_what_failed(official, release, method):
    with official.start_distillation(release, method, ipc=1, images=2) as side:
        for _ in range(2):
            measured = side()
            assert measured["iteration"] > 0
            assert measured.keys() == {"iteration", "iteration processor"}
        with pytest.raises(official.OfficialError, match="the third iteration fails"):
            side()


def test_one_network_is_trained_and_tested_per_call(official, release):
    with official.start_evaluation(release, "ConvNet", ipc=1, epochs=3, test_images=20) as side:
        for _ in range(2):
            assert {"train", "test"} <= side().keys()


def test_another_folder_is_refused(official, tmp_path):
    with pytest.raises(
        official.OfficialError, match=r"DM\+ours/main_DM_IID.py is missing.*Give the folder"
    ):
        official.start_distillation(tmp_path, "DM+IID", ipc=1)


def test_an_unknown_method_is_refused(official, release):
    with pytest.raises(official.OfficialError, match=r"no DC; known are DM\+IID"):
        official.start_distillation(release, "DC", ipc=1)
