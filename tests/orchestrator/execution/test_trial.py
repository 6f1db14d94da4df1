from orchestrator.execution.trial import build_trial_config, build_trial_resources


def test_resources_name_a_gpu_only_where_there_is_one(units, settings):
    assert build_trial_resources(build_trial_config(units[:1], settings, gpus=0)) == {"CPU": 1.0}
    assert build_trial_resources(build_trial_config(units[:1], settings, gpus=0.5)) == {
        "CPU": 1.0,
        "GPU": 0.5,
    }
