"""Distill scikit-learn's digits into a few images per class, then train networks on them.

python examples/distill_digits.py --ipc 2 --iterations 100 --out digits.safetensors
"""

import argparse
from pathlib import Path

import distill_core as dc


def main() -> None:
    """Distill, save and evaluate one set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ipc", type=int, default=2, help="images per class")
    parser.add_argument("--iterations", type=int, default=100, help="updates of the images")
    parser.add_argument("--epochs", type=int, default=100, help="epochs of each evaluation network")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--out", type=Path, default=Path("digits.safetensors"))
    options = parser.parse_args()

    # The digits come with scikit-learn; other data sets are read from the folder "data".
    digits = dc.load_dataset(dc.DatasetRef(name="digits"), Path("data"), device=options.device)

    settings = dc.DistillationSettings(
        network="ConvNetW32",
        iterations=options.iterations,
        batch_real=32,
        lambda_cm=0.01,  # 0 is plain DM; no effect with one image per class
    )
    synthetic = dc.distill_set(digits, settings, ipc=options.ipc, seed=0)
    synthetic.save(options.out)
    count, *shape = synthetic.images.shape
    print(f"{synthetic.method}: {count} images of shape {tuple(shape)} in {options.out}")

    budget = dc.EvaluationSettings(num_eval=2, epoch_eval_train=options.epochs)
    networks = dc.evaluate_set(synthetic, digits, budget, network="ConvNetW32")
    accuracies = [network.accuracy for network in networks]
    print("test accuracy:", ", ".join(f"{100 * accuracy:.1f} %" for accuracy in accuracies))


if __name__ == "__main__":
    main()
