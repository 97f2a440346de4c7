"""The side of the Dask worker: asks the decoder server for shards. Imports no decoder, and runs in any thread."""

from __future__ import annotations

import atexit
import threading
from pathlib import Path
from typing import Any

from ingest.containment.endings import Broken, Done, Ending, Failed
from ingest.containment.errors import ATTEMPTS, DecoderLostError, UnforeseenError
from ingest.containment.order import Order
from ingest.containment.server_process import ServerProcess
from ingest.survey import num_surveyed
from shards.receipt import Receipt, read_receipt, receipt_path

_DYING_S = 0.5
"""How long after its sockets a killed process may still count as running."""


class DecoderServer:
    """The decoder server of this process: started when first needed, started again when it is gone.

    Args:
        openers: What opens the jobs that can be ordered, as `module:name`.
    """

    def __init__(self, *openers: str) -> None:
        self._openers = openers
        self._lock = threading.Lock()
        self._process: ServerProcess | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the running server."""
        return self._process.pid if self._process else None

    def do(self, order: Order) -> Any:  # noqa: ANN401 - each job says what it returns
        """Have a task done and return what it returned.

        Raises:
            DecoderLostError: The server cannot start, was stopped, or its processes die again and again.
            UnforeseenError: A fault of the program; the text is its traceback.
            MaskloomError: What the job itself raised.
        """
        for _ in range(ATTEMPTS):
            process = self._running()
            ending = process.ask(order)
            if ending is not None:
                return _result(ending)
            self._require_use(process, order)
        raise DecoderLostError(
            f"The processes of {order} were killed {ATTEMPTS} times. Nothing was rejected for it and finished shards are "
            "kept: run the same command, with fewer --workers if memory is short."
        )

    def _running(self) -> ServerProcess:
        with self._lock:
            if self._process is not None and self._process.status() is not None:
                self._process.close()
                self._process = None
            if self._process is None:
                self._process = ServerProcess(self._openers)
            return self._process

    def _require_use(self, process: ServerProcess, order: Order) -> None:
        """Raise if it is of no use to ask again, because the server was stopped or cannot start."""
        status = process.status(patience_s=_DYING_S)
        if status is None:
            return  # only a guard was lost
        process.close()
        if self._process is None:
            raise DecoderLostError(f"The {order} was given up: its decoders were stopped.")
        if status > 0:
            raise DecoderLostError(
                f"The process for decoders ended with status {status} on this machine. It said:\n{process.last_words}"
            )

    def stop(self) -> None:
        """End the server and all that it runs; orders under way raise a DecoderLostError."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.stop()


def _result(ending: Ending) -> Any:  # noqa: ANN401 - each job says what it returns
    match ending:
        case Done(made):
            return made
        case Failed(error):
            raise error
        case Broken(trace):
            raise UnforeseenError(trace)
        case _:
            raise UnforeseenError(f"a guard reported {ending}")


_SHARDS = "ingest.shard_task:ShardJob"
_SURVEY = "ingest.survey_task:SurveyJob"
_SERVER = DecoderServer(_SHARDS, _SURVEY)
atexit.register(_SERVER.stop)


def write_contained(dataset: Path, shard: int, source_root: Path) -> Receipt:
    """Write shard number `shard` of the plan in `dataset` from the files below `source_root`, and return its receipt.

    The decoders run in processes of their own. A file that crashes one, never ends, or takes too much memory is rejected by
    reason; everything else is stored, byte for byte as if that file had been refused like any other.

    Raises:
        DecoderLostError: The machine kills the decoders, or does not let them start. Nothing was rejected for that.
        StorageError: The output cannot be written.
        SourceError: The machine cannot read the source at all.
    """
    if receipt_path(dataset, shard).exists():
        return read_receipt(dataset, shard)  # another command was faster
    receipt: Receipt = _SERVER.do(Order(opener=_SHARDS, dataset=dataset, number=shard, source_root=source_root))
    return receipt


def survey_contained(dataset: Path, chunk: int, source_root: Path) -> int:
    """Do task number `chunk` of the survey in `dataset`, and return how many items it holds; errors as above."""
    done = num_surveyed(dataset, chunk)
    if done is not None:
        return done
    items: int = _SERVER.do(Order(opener=_SURVEY, dataset=dataset, number=chunk, source_root=source_root))
    return items


def decoder_server() -> DecoderServer:
    """Return the server of this process, started or not."""
    return _SERVER


def stop_decoders() -> None:
    """End the decoders of this process; the next shard starts them anew."""
    _SERVER.stop()
