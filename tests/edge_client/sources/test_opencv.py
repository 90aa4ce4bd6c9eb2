"""OpenCV is left before the interpreter ends."""

import subprocess
import sys

import pytest

from edge_client.sources.opencv import NativeCalls
from protos.errors import SourceError


def test_no_call_begins_once_the_program_ends_and_a_blocked_one_is_not_waited_for_for_ever() -> (
    None
):
    calls = NativeCalls()
    with calls.one():
        calls.end(patience_s=0.0)
    with pytest.raises(SourceError, match="the program ends"), calls.one():
        pass


_PROGRAM = """
import sys, threading, time, types
import cv2
import numpy as np
from edge_client.sources.opencv import CALLS

pixels = np.ones((1500, 1500), np.float32)
began, ended = threading.Event(), []

def read():
    with CALLS.one():
        began.set()
        cv2.bilateralFilter(pixels, 15, 75, 75)
        ended.append(True)

class Lingers:
    # Keeps the interpreter at its end for as long as the call goes on.
    def __del__(self, ended=ended, sleep=time.sleep, now=time.monotonic):
        until = now() + 20
        while not ended and now() < until:
            sleep(0.1)

cv2.setNumThreads(1)
sys.modules["held"] = types.ModuleType("held")
sys.modules["held"].lingers = Lingers()
CALLS.end.__func__.__defaults__ = (60.0,)  # of a loaded machine
threading.Thread(target=read, daemon=True).start()
began.wait()
"""


@pytest.mark.slow
def test_program_ends_as_it_should_while_a_thread_is_in_opencv() -> None:
    pytest.importorskip("cv2")
    command = [sys.executable, "-c", _PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
