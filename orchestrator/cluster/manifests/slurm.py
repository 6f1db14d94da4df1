"""A Slurm script that starts Ray on all of its nodes."""

import shlex
import sys
from pathlib import Path

from orchestrator.cluster.manifests.job import ClusterJob
from orchestrator.cluster.manifests.render import check_words, render_template


def build_slurm_script(
    job: ClusterJob,
    *,
    partition: str | None = None,
    account: str | None = None,
    setup: tuple[str, ...] = (),
) -> str:
    """Return a script for `sbatch`.

    Args:
        job: what is to run.
        partition: Slurm's partition.
        account: Slurm's account.
        setup: shell lines that put `ray` and `iid` on the path, by default those of this Python.

    Raises:
        SettingsError: a name has spaces or special characters.
    """
    check_words({"partition": partition, "account": account})
    if not setup:
        setup = (f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",)
    return render_template(
        "slurm.sh",
        job,
        partition=partition,
        account=account,
        setup=setup,
        command=job.build_command(),
    )
