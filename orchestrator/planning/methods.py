"""What a method's name means for the settings of its units."""

import dataclasses
from collections.abc import Sequence

from distill_core.settings import CoresetMethod, DistillationSettings, is_custom
from orchestrator.units.select import CORESET_NAMES

CORESETS: dict[str, CoresetMethod] = {name: method for method, name in CORESET_NAMES.items()}
"""Coreset methods by the names that search spaces give them."""

REFERENCE = "Random"
"""The method that all others are compared with."""

NO_GRADIENT = (
    "one image per class and no partition: L_CC and L_CM have zero gradient, so this is {base}"
)


def pair_methods(methods: Sequence[str]) -> list[tuple[str, str]]:
    """Pair every method with Random, and "DM+IID" with its base "DM"."""
    to_reference = [(m, REFERENCE) for m in methods if m != REFERENCE and REFERENCE in methods]
    to_base = [(m, m.split("+")[0]) for m in methods if "+" in m and m.split("+")[0] in methods]
    return to_reference + to_base


def specialize(
    settings: DistillationSettings, method: str, ipc: int
) -> tuple[DistillationSettings, str]:
    """Reduce settings to what a distillation method uses.

    The base decides whether there is a queue of networks (IDM) or not (DM). +CC keeps λ_CC, +CM
    keeps λ_CM, and +IID both. With a single training image per class both losses have no gradient,
    so both λ become 0 and the unit is the same as the base's. Custom bases and losses are named
    `module:object`; a custom base has no queue.

    Args:
        settings: with a queue and both λ.
        method: a base alone or with additions, as `search_spaces.method_names.canonicalize_method`
            returns it.
        ipc: stored images per class.

    Returns:
        The settings, and a note that is empty unless the method is the same as its base here.
    """
    base, *additions = method.split("+")
    custom = [name for name in additions if is_custom(name)]
    lambda_cc = settings.lambda_cc if "IID" in additions or "CC" in additions else 0.0
    lambda_cm = settings.lambda_cm if "IID" in additions or "CM" in additions else 0.0
    note = ""
    built_in = [name for name in additions if not is_custom(name)]
    if built_in and ipc * settings.partition**2 == 1:
        lambda_cc = lambda_cm = 0.0
        note = NO_GRADIENT.format(base="+".join([base, *custom]))
    specialized = dataclasses.replace(
        settings,
        lambda_cc=lambda_cc,
        lambda_cm=lambda_cm,
        lambda_loss=settings.lambda_loss if custom else DistillationSettings().lambda_loss,
        loss_options=settings.loss_options if custom else (),
        queue=settings.queue if base == "IDM" else None,
        base=base if is_custom(base) else None,
        loss=custom[0] if custom else None,
        more_losses=tuple(custom[1:]),
    )
    return specialized, note
