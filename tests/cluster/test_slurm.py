import subprocess
import sys

import pytest

from tests.cluster.running import REPOSITORY

NO_SLURM = 77


@pytest.mark.slow
def test_slurm_jobs_make_the_same_bytes_as_an_embedded_cluster() -> None:
    """Runs a Slurm of one node; tests/cluster/slurm.sh says how, and installs it in continuous integration where root may."""
    pytest.importorskip("dask_jobqueue", reason="needs the extra 'slurm'")
    script = [str(REPOSITORY / "tests/cluster/slurm.sh"), sys.executable]
    result = subprocess.run(script, capture_output=True, text=True, timeout=240, check=False)
    if result.returncode == NO_SLURM:
        pytest.skip(result.stderr.strip())
    assert result.returncode == 0, result.stdout + result.stderr
    assert "the same bytes from" in result.stdout
