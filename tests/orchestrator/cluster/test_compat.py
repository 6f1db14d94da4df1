"""Private names of Ray: that the installed Ray has them, and what happens without."""

import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from orchestrator.cluster import _compat

PRIVATE = (
    "ray._private.services.find_bootstrap_address",
    "ray._private.authentication.authentication_token_setup"
    ".maybe_enable_token_auth_if_token_available",
    "ray._private.services.start_ray_process",
    "ray._private.node.Node.kill_all_processes",
)


@pytest.fixture
def without_private_names(monkeypatch):
    monkeypatch.setattr(_compat, "find_private", lambda path: None)


@pytest.mark.parametrize("path", PRIVATE)
def test_the_installed_ray_has_the_private_names(path):
    module, _, name = path.partition(".Node.")
    found = _compat.find_private(f"{module}.Node" if name else path)
    assert callable(getattr(found, name) if name else found)


@pytest.mark.parametrize("path", ["ray._private.no_such_module.name", "ray._private.services.gone"])
def test_a_name_that_ray_does_not_have_is_none(path):
    assert _compat.find_private(path) is None


def test_the_started_cluster_is_what_ray_says(monkeypatch):
    monkeypatch.setattr("ray._private.services.find_bootstrap_address", lambda folder: "head:6379")
    assert _compat.find_started_cluster() == "head:6379"
    monkeypatch.setattr("ray._private.services.find_bootstrap_address", lambda folder: None)
    assert _compat.find_started_cluster() is None


def test_without_private_names_the_started_cluster_is_read_from_its_file(
    monkeypatch, tmp_path, without_private_names
):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert _compat.find_started_cluster() is None
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("head:6379\n")
    assert _compat.find_started_cluster() == "head:6379"


def test_the_file_of_the_fallback_is_where_ray_writes_it(monkeypatch):
    from ray._private import utils

    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.delenv("TMPDIR", raising=False)
    assert utils.get_ray_address_file(None) == "/tmp/ray/ray_current_cluster"


def test_token_auth_is_enabled_by_ray(monkeypatch):
    asked = []
    monkeypatch.setattr(PRIVATE[1], lambda **options: asked.append(options))
    _compat.enable_token_auth()
    assert asked == [{"warn_if_disabled": False}]


@pytest.mark.parametrize("mode", [None, "disabled"])
def test_without_private_names_a_token_file_enables_it(
    monkeypatch, tmp_path, without_private_names, mode
):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    if mode is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    _compat.enable_token_auth()
    assert _compat.os.environ.get("RAY_AUTH_MODE") == mode
    (tmp_path / ".ray").mkdir()
    (tmp_path / _compat.TOKEN_FILE).write_text("token")
    _compat.enable_token_auth()
    assert _compat.os.environ.get("RAY_AUTH_MODE") == (mode or "token")


def test_the_metrics_of_a_finished_trial_are_dropped():
    metadata = SimpleNamespace(metric_analysis={"loss": 1}, metric_n_steps={"loss": 2})
    _compat.forget_metrics(SimpleNamespace(run_metadata=metadata))
    assert metadata.metric_analysis == metadata.metric_n_steps == {}


def test_a_trial_without_these_attributes_is_left_alone():
    _compat.forget_metrics(SimpleNamespace(run_metadata=SimpleNamespace()))
    _compat.forget_metrics(SimpleNamespace())


def test_the_installed_ray_keeps_metrics_where_they_are_dropped():
    from ray.tune.experiment import Trial

    metadata = Trial("none", stub=True).run_metadata
    assert isinstance(metadata.metric_analysis, dict) and isinstance(metadata.metric_n_steps, dict)


BLOCKED = "import signal; print(*sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"


def test_processes_of_ray_do_not_hear_what_stops_the_launch(monkeypatch):
    def start(command):
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    monkeypatch.setattr("ray._private.services.start_ray_process", start)
    import ray._private.services as services

    handler = signal.getsignal(signal.SIGTERM)
    with _compat.shield_processes():
        shown = services.start_ray_process([sys.executable, "-c", BLOCKED])
        signal.signal(signal.SIGTERM, lambda *_: None)  # as Ray sets its own
    assert set(map(int, shown.split())) >= {signal.SIGTERM, signal.SIGHUP}
    assert signal.getsignal(signal.SIGTERM) is handler
    assert services.start_ray_process is start
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_without_private_names_ray_is_started_and_ended_as_ever(without_private_names):
    with _compat.shield_processes():
        pass
    _compat.end_without_grace()


def test_ray_on_one_machine_starts_only_what_a_launch_uses():
    from ray._private.node import Node

    names = ("start_monitor", "start_log_monitor", "start_api_server")
    before = [getattr(Node, name) for name in names]  # the installed Ray has them
    node = SimpleNamespace()
    with _compat.start_few_processes():
        for name in names:
            getattr(Node, name)(node, include_dashboard=False, raise_on_failure=False)
    assert node._webui_url is None and [getattr(Node, name) for name in names] == before


def test_without_private_names_ray_starts_all_processes(without_private_names):
    with _compat.start_few_processes():
        pass


def test_shutting_down_does_not_ask_processes_that_cannot_hear(monkeypatch):
    asked = []
    node = SimpleNamespace(kill_all_processes=lambda **options: asked.append(options))
    monkeypatch.setattr("ray._private.worker._global_node", node)
    _compat.end_without_grace()
    node.kill_all_processes(check_alive=False, allow_graceful=True)
    assert asked == [{"check_alive": False, "allow_graceful": False}]


def test_an_import_does_not_change_what_signals_do():
    before = signal.getsignal(signal.SIGTERM)
    with _compat.keep_handlers():
        signal.signal(signal.SIGTERM, lambda *_: None)
    assert signal.getsignal(signal.SIGTERM) is before
