"""What a method's name means for the settings of its units."""

import dataclasses
from typing import Any

from distill_core.settings import CoresetMethod, DistillationSettings, is_custom
from orchestrator.units.select import CORESET_NAMES

CORESETS: dict[str, CoresetMethod] = {name: method for method, name in CORESET_NAMES.items()}
"""Coreset methods by the names that search spaces give them."""

NO_GRADIENT = (
    "one image a class and no partition: L_CC and L_CM have zero gradient, so this is {base}"
)


def specialise(
    settings: DistillationSettings, method: str, ipc: int
) -> tuple[DistillationSettings, str]:
    """Keep of the settings what a distillation method uses.

    The base decides whether there is a queue of networks (IDM) or not (DM); +CC keeps λ_CC, +CM
    keeps λ_CM, +IID both. With a single training image a class both losses have no gradient, so λ
    are set to 0 and the unit is the base's. A base and a loss of one's own are named by where they
    lie; the base has no queue.

    Args:
        settings: with a queue and both λ.
        method: a base alone or with additions, as `search_spaces.method_names.canonical_method`
            returns it.
        ipc: stored images a class.

    Returns:
        The settings, and a note that is empty unless the method is the same as its base here.
    """
    base, *additions = method.split("+")
    loss = next((name for name in additions if is_custom(name)), None)
    kept: dict[str, Any] = {
        "lambda_cc": settings.lambda_cc if {"IID", "CC"} & set(additions) else 0.0,
        "lambda_cm": settings.lambda_cm if {"IID", "CM"} & set(additions) else 0.0,
        "lambda_loss": settings.lambda_loss if loss else DistillationSettings().lambda_loss,
        "queue": settings.queue if base == "IDM" else None,
        "base": base if is_custom(base) else None,
        "loss": loss,
    }
    note = ""
    if ipc * settings.partition**2 == 1 and not set(additions) <= {loss}:
        kept |= {"lambda_cc": 0.0, "lambda_cm": 0.0}
        note = NO_GRADIENT.format(base="+".join([base, *([loss] if loss else [])]))
    return dataclasses.replace(settings, **kept), note
