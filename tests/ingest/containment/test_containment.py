import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingest.containment.client import DecoderServer, write_contained
from ingest.containment.errors import DecoderLostError, UnforeseenError
from ingest.containment.order import Order
from shards.errors import SourceError, StorageError
from shards.receipt import Receipt, commit_receipt
from tests.ingest.containment.fakes import OPENER, FakeJob

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def server() -> Iterator[DecoderServer]:
    started = DecoderServer(OPENER)
    yield started
    started.stop()


def order(folder: Path, deeds: list[str], *, number: int = 0) -> Order:
    (folder / "deeds.json").write_text(json.dumps(deeds))
    return Order(opener=OPENER, dataset=folder, number=number, source_root=folder)


def lines(folder: Path) -> list[str]:
    return (folder / "0.txt").read_text().split("\n")


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [deeper for child in children for deeper in descendants(child)]


def wait_until(condition: Callable[[], object], *, patience_s: float = 20) -> None:
    until = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize(
    "deed, reason, detail",
    [
        ("segfault", "decoder_crash", "the decoder crashed: SIGSEGV"),
        ("abort", "decoder_crash", "the decoder crashed: SIGABRT"),
        ("exit", "decoder_crash", "the decoder crashed: it ended its process with status 3"),
        ("system exit", "decoder_crash", "the decoder crashed: it ended its process with status 1"),
        ("hoard and exit", "decoder_crash", "the decoder crashed: it ended its process with status 0"),
        ("backtrack", "time_limit", "encoding it takes longer than 0.6 s"),
        ("loop", "time_limit", "encoding it takes longer than 0.6 s"),
        ("sleep", "time_limit", "encoding it takes longer than 0.6 s"),
        ("spin without pipe", "time_limit", "encoding it takes longer than 0.6 s"),
        ("hoard", "too_much_memory", "encoding it takes more than 256 MiB of memory"),
    ],
)
def test_an_item_that_takes_its_process_along_costs_itself_alone(
    server: DecoderServer, tmp_path: Path, deed: str, reason: str, detail: str
) -> None:
    others = ["sound", "refused", "noise", "sound"]
    server.do(order(tmp_path, others))
    without = lines(tmp_path)
    receipt = server.do(order(tmp_path, [*others[:2], deed, *others[2:]]))
    assert receipt.rejects == {reason: 1, "corrupt_image": 1}
    assert lines(tmp_path)[2] == f"{reason}: {detail}"
    assert lines(tmp_path)[:2] == without[:2]


def test_an_item_that_maps_more_memory_than_allowed_is_an_error_of_its_own_kind(
    server: DecoderServer, tmp_path: Path
) -> None:
    with pytest.raises(UnforeseenError, match="Cannot allocate memory"):
        server.do(order(tmp_path, ["map"]))


def test_suspect_mode_stores_the_same_bytes_as_normal_mode(server: DecoderServer, tmp_path: Path) -> None:
    sound = ["sound"] * 5
    server.do(order(tmp_path, [*sound, "refused"]))
    normal = lines(tmp_path)
    server.do(order(tmp_path, [*sound, "segfault"]))
    assert lines(tmp_path)[:5] == normal[:5]


@pytest.mark.parametrize("others", [["sound"], ["segfault"]])
@pytest.mark.parametrize("deed", ["share slowly", "share much"])
def test_what_items_share_is_loaded_outside_of_their_bounds(
    server: DecoderServer, tmp_path: Path, deed: str, others: list[str]
) -> None:
    receipt = server.do(order(tmp_path, [deed, *others]))
    assert receipt.rejects == ({"decoder_crash": 1} if others == ["segfault"] else {})
    assert receipt.samples == (1 if others == ["segfault"] else 2)


@pytest.mark.parametrize("others", [["sound"], ["segfault"]])
def test_a_source_that_fails_while_it_is_shared_rejects_nothing(
    server: DecoderServer, tmp_path: Path, others: list[str]
) -> None:
    with pytest.raises(SourceError, match="the source is not mounted"):
        server.do(order(tmp_path, [*others, "share a disk that fails"]))


@pytest.mark.parametrize("others", [["sound"], ["segfault"]])
def test_a_refusal_in_words_that_are_no_text_is_a_refusal(
    server: DecoderServer, tmp_path: Path, others: list[str]
) -> None:
    server.do(order(tmp_path, ["refused in odd words", *others]))
    assert lines(tmp_path)[0] == "corrupt_image: ? and ?"


def test_several_culprits_in_a_shard_are_each_refused(server: DecoderServer, tmp_path: Path) -> None:
    receipt = server.do(order(tmp_path, ["segfault", "sound", "loop", "abort", "hoard", "sound"]))
    assert receipt.rejects == {"decoder_crash": 2, "time_limit": 1, "too_much_memory": 1}


def test_a_process_killed_from_outside_is_begun_again_and_rejects_nothing(
    server: DecoderServer, tmp_path: Path
) -> None:
    receipt = server.do(order(tmp_path, ["sound", "be killed once"]))
    assert (receipt.samples, receipt.rejects) == (2, {})


@pytest.mark.parametrize("deeds", [["be killed"], ["segfault", "be killed"]])
def test_a_process_always_killed_from_outside_is_an_error_of_the_machine(
    server: DecoderServer, tmp_path: Path, deeds: list[str]
) -> None:
    with pytest.raises(DecoderLostError, match=r"killed from outside 3 times \(SIGKILL\).*Nothing was rejected"):
        server.do(order(tmp_path, deeds))


def test_errors_for_the_user_arrive_with_class_and_words(server: DecoderServer, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"^the source is not mounted$"):
        server.do(order(tmp_path, ["sound", "unreadable"]))
    with pytest.raises(SourceError, match=r"^the source is not mounted$"):
        server.do(order(tmp_path, ["segfault", "unreadable"]))
    with pytest.raises(StorageError, match=r"^no space left$"):
        server.do(order(tmp_path, ["full disk"]))


@pytest.mark.parametrize("deeds", [["bug"], ["segfault", "bug"]])
def test_a_fault_of_the_program_arrives_with_its_traceback(
    server: DecoderServer, tmp_path: Path, deeds: list[str]
) -> None:
    with pytest.raises(UnforeseenError, match=r"(?s)Traceback.*fakes\.py.*KeyError: 'missing'"):
        server.do(order(tmp_path, deeds))


def test_a_shard_that_cannot_be_opened_rejects_nothing_and_says_so(server: DecoderServer, tmp_path: Path) -> None:
    with pytest.raises(DecoderLostError, match=r"outside of any item \(SIGSEGV\)"):
        server.do(order(tmp_path, ["die"]))


def test_a_server_killed_by_hand_is_started_anew(tmp_path: Path, server: DecoderServer) -> None:
    server.do(order(tmp_path, ["sound"]))
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert server.do(order(tmp_path, ["sound"])).samples == 1


def test_a_shard_whose_server_dies_under_it_is_written_by_the_next_one(tmp_path: Path, server: DecoderServer) -> None:
    server.do(order(tmp_path, ["sound"]))
    before, receipts = server.pid, []
    slow = order(tmp_path, ["sleep", "sound"], number=1)
    worker = threading.Thread(target=lambda: receipts.append(server.do(slow)))
    worker.start()
    time.sleep(0.3)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    worker.join(30)
    assert receipts[0].rejects == {"time_limit": 1}
    assert server.pid != before


def test_one_server_serves_many_threads(tmp_path: Path, server: DecoderServer) -> None:
    orders = [order(tmp_path, ["sound", "segfault"], number=shard) for shard in range(6)]
    receipts: list[Receipt] = []
    threads = [threading.Thread(target=lambda one=one: receipts.append(server.do(one))) for one in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {receipt.shard for receipt in receipts} == set(range(6))
    assert all(receipt.rejects == {"decoder_crash": 1} for receipt in receipts)


def test_a_server_that_cannot_start_says_why() -> None:
    broken = DecoderServer("no_such_module:open_job")
    try:
        with pytest.raises(DecoderLostError, match="No module named 'no_such_module'"):
            broken.do(Order(opener="x", dataset=Path("a"), number=0, source_root=Path("b")))
    finally:
        broken.stop()


@pytest.mark.parametrize("deeds", [["leave a sleeper"], ["segfault", "leave a sleeper"]])
def test_nothing_outlives_a_server_that_is_stopped_and_its_orders_are_given_up(
    tmp_path: Path, deeds: list[str]
) -> None:
    server, errors = DecoderServer(OPENER), []

    def write() -> None:
        try:
            server.do(order(tmp_path, deeds))
        except DecoderLostError as error:
            errors.append(str(error))

    worker = threading.Thread(target=write)
    worker.start()
    note = tmp_path / "sleeper"
    wait_until(lambda: note.exists() and note.read_text())
    sleeper = int(note.read_text())
    assert alive(sleeper)
    server.stop()
    worker.join(10)
    assert "its decoders were stopped" in errors[0]
    wait_until(lambda: not alive(sleeper))


def test_a_shard_that_has_its_receipt_is_not_written_again(tmp_path: Path) -> None:
    receipt = FakeJob(tmp_path, 0, ["sound"]).write(iter([]))
    commit_receipt(tmp_path, receipt)
    assert write_contained(tmp_path, 0, tmp_path / "nowhere") == receipt


def test_asking_for_a_shard_imports_no_decoder() -> None:
    program = (
        "import sys, ingest.containment.client; "
        "print({'torch', 'PIL', 'av', 'decord', 'torchaudio', 'soundfile', 'trimesh'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_nothing_outlives_a_client_that_is_killed(tmp_path: Path) -> None:
    deeds = order(tmp_path, ["segfault", "leave a sleeper"])
    program = (
        "from pathlib import Path; from ingest.containment.client import DecoderServer, write_contained; "
        "from ingest.containment.order import Order; "
        f"folder = Path({str(tmp_path)!r}); server = DecoderServer({OPENER!r}); "
        "server.do(Order(opener={OPENER!r}, dataset=folder, number=0, source_root=folder))".replace(
            "{OPENER!r}", repr(OPENER)
        )
    )
    assert deeds.dataset == tmp_path
    client = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY, start_new_session=True)
    note = tmp_path / "sleeper"
    wait_until(lambda: note.exists() and note.read_text())
    family = descendants(client.pid)
    assert len(family) >= 4
    client.kill()
    client.wait()
    wait_until(lambda: not any(alive(pid) for pid in family))
