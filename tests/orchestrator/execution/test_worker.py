import subprocess
import sys


def test_a_process_without_gpus_sees_none_and_keeps_its_threads():
    code = (
        "from orchestrator.execution.worker import prepare_process; prepare_process(cpus=1,"
        " gpus=0)\nimport os, sys; assert 'torch' not in sys.modules\nimport torch; assert"
        " torch.get_num_threads() == 1 and torch.cuda.device_count() == 0\nfirst = torch.rand(2);"
        " prepare_process(cpus=2, gpus=0)\nsecond = torch.rand(2); prepare_process(cpus=2,"
        " gpus=0)\nassert torch.get_num_threads() == 2 and torch.equal(second, torch.rand(2))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
