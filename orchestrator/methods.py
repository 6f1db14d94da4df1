"""What a method's name means for the settings of its units, and back."""

import dataclasses

from distill_core.settings import CoresetMethod, DistillationSettings
from orchestrator.units import Distill, Select

CORESETS: dict[str, CoresetMethod] = {"Random": "random", "Herding": "herding", "K-Center": "k-center"}

NO_GRADIENT = "one image a class and no partition: L_CC and L_CM have zero gradient, so this is {base}"


def specialise(settings: DistillationSettings, method: str, ipc: int) -> tuple[DistillationSettings, str]:
    """Keep of the settings what a distillation method uses.

    The base decides whether there is a queue of networks (IDM) or not (DM); +CC keeps λ_CC, +CM keeps λ_CM, +IID both.
    With a single training image a class both losses have no gradient, so λ are set to 0 and the unit is the base's.

    Args:
        settings: with a queue and both λ.
        method: DM or IDM, alone or with an addition.
        ipc: stored images a class.

    Returns:
        The settings, and a note that is empty unless the method is the same as its base here.
    """
    base, _, addition = method.partition("+")
    lambda_cc = settings.lambda_cc if addition in ("IID", "CC") else 0.0
    lambda_cm = settings.lambda_cm if addition in ("IID", "CM") else 0.0
    note = ""
    if ipc * settings.partition**2 == 1 and addition:
        lambda_cc = lambda_cm = 0.0
        note = NO_GRADIENT.format(base=base)
    queue = settings.queue if base == "IDM" else None
    return dataclasses.replace(settings, lambda_cc=lambda_cc, lambda_cm=lambda_cm, queue=queue), note


def method_name(settings: DistillationSettings) -> str:
    """Return the name of the method that settings describe, such as DM or IDM+IID."""
    base = "DM" if settings.queue is None else "IDM"
    addition = {(True, True): "+IID", (True, False): "+CC", (False, True): "+CM", (False, False): ""}
    return base + addition[settings.lambda_cc > 0, settings.lambda_cm > 0]


def unit_method(unit: Distill | Select) -> str:
    """Return the name of the method that makes a set."""
    if isinstance(unit, Distill):
        return method_name(unit.settings)
    return next(name for name, coreset in CORESETS.items() if coreset == unit.method)
