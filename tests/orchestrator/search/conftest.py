"""A search whose trials take a second, and one with made-up values, whose trials take no time."""

import math
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from orchestrator.execution.trial import TrialSettings
from orchestrator.search.build_studies import build_studies
from orchestrator.search.journal import Journal
from orchestrator.search.study_run import StudyRun
from orchestrator.search.worker import RungMeasurement
from orchestrator.store.open import open_store
from search_spaces.load import load_space

SPACE = """
name: tiny
settings:
  datasets: digits
  protocol: strict
  seeds: 2
  distillation: {network: ConvNetW8D2, iterations: 4, batch_real: 8, lr_img: 10, queue: {
    interval: 2, networks: 2, max_networks: 3, trained_networks: 1, train_steps: 1,
    batch_train: 32}}
  extractors: {count: 1, network: ConvNetW8D2, epochs: 1, batch_train: 256}
  evaluation: {num_eval: 2, epoch_eval_train: 3, batch_train: 64}
experiments:
  - name: weights
    methods: DM+IID
    ipc: 2
    search:
      lambda_cc: {low: 0.001, high: 10, log: true, zero: true}
      lambda_cm: {low: 0.001, high: 10, log: true, zero: true, points: 2}
      lr_img: {low: 1, high: 30, optional: true}
    rungs: {count: 3, reduction: 2, num_eval: 1, epoch_eval_train: 2}
"""


@pytest.fixture(scope="session")
def tiny_space(tmp_path_factory):
    """Path of a search space that searches two weights on digits."""
    path = tmp_path_factory.mktemp("space") / "tiny.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="session")
def make_study(tiny_space):
    """Makes the study of the tiny space."""

    def make(*overrides, sampler="tpe", scheduler="asha", also=()):
        (study,) = build_studies(
            load_space(tiny_space, overrides), sampler=sampler, scheduler=scheduler, also=also
        )
        return study

    return make


class Killed(Exception):
    """The search ended here."""


@pytest.fixture
def simulate(tmp_path):
    """Runs a study, one trial after the other, with made-up values; can stop after some reports."""
    from orchestrator.search.ray_tune import RungScheduler

    def run(study, trials, *, store=None, kill_after=math.inf, value=None):
        store = store or open_store(tmp_path / "store")
        settings = TrialSettings(store=str(store.root), data_root=".", run="r")
        search = StudyRun(
            study=study,
            journal=Journal.open(study, store),
            store=store,
            settings=settings,
            gpus=0.0,
            trials=trials,
        )
        scheduler, reports = RungScheduler(search), 0
        while (config := search.next_config()) is not None:
            trial = SimpleNamespace(trial_id=f"t{config['number']}", config=config)
            scheduler.on_trial_add(None, trial)
            for work in config["work"]:
                if reports == kill_after:
                    return search.journal.trials
                reports += 1
                parameters = search.journal.trials[config["number"]].parameters
                found = (value or accuracy)(parameters, work["rung"])
                outcome = RungMeasurement(
                    rung=work["rung"], outcome="value", value=found, values=(found,)
                )
                report = asdict(outcome) | {"resource": config["reduction"] ** work["rung"]}
                if scheduler.on_trial_result(None, trial, report) == "STOP":
                    break
            search.release(config["number"])
        return search.journal.trials

    return run


def accuracy(parameters, rung):
    """A smooth function of the weights, best near 0.1 and 0, which increases with the rungs."""
    cc, cm = parameters["distillation.lambda_cc"], parameters["distillation.lambda_cm"]
    return 0.5 + 0.1 * rung - 0.05 * (math.log10(cc + 1e-4) + 1) ** 2 / 4 - 0.05 * math.sqrt(cm)


@pytest.fixture
def measured():
    """Makes the outcome of a rung."""

    def make(rung, value, **fields):
        outcome = "value" if value is not None else "failed"
        return RungMeasurement(
            rung=rung,
            value=value,
            outcome=outcome,
            values=() if value is None else (value,),
            **fields,
        )

    return make
