import resource
import subprocess
import sys

import pytest

ASK = """
import resource
from shards.open_files import most_open_shards
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(most_open_shards(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "shards"), [(256, 1024, 128), (1024, 4096, 512), (1024, 1024, 128), (64, 64, 8)]
)
def test_a_reader_takes_a_quarter_of_the_files_that_the_system_allows(soft: int, hard: int, shards: int) -> None:
    if hard > resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 0:
        pytest.skip("this machine allows fewer open files")
    script = ASK.format(soft=soft, hard=hard)
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert [int(number) for number in found.split()] == [shards, hard, hard]
