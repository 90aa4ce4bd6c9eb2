"""The thread on which a device computes, frame after frame."""

import asyncio
import subprocess
import sys
import threading

import pytest

from edge_client.frames.compute_thread import ComputeThread
from protos.errors import UsageError


async def test_oldest_frame_has_the_device_first() -> None:
    device, order = ComputeThread(), list[str]()
    held = threading.Event()
    blocker = asyncio.create_task(device.run(0.0, held.wait))
    await asyncio.sleep(0)
    later = [
        asyncio.create_task(device.run(arrived, lambda name=name: order.append(name)))
        for arrived, name in ((3.0, "new head"), (1.0, "old tail"), (2.0, "given up"))
    ]
    await asyncio.sleep(0)
    later[2].cancel()
    await asyncio.sleep(0)
    held.set()
    await asyncio.gather(blocker, *later, return_exceptions=True)
    device.close()
    assert order == ["old tail", "new head"]


async def test_work_that_fills_pauses_waits_for_all_other_and_its_oldest_goes_first() -> None:
    device, order = ComputeThread(), list[str]()
    held = threading.Event()
    blocker = asyncio.create_task(device.run(0.0, held.wait))
    await asyncio.sleep(0)
    later = [
        asyncio.create_task(
            device.run(arrived, lambda name=name: order.append(name), fills_pauses=hedge)
        )
        for arrived, name, hedge in (
            (1.5, "newer hedge", True),
            (1.0, "hedge", True),
            (3.0, "new head", False),
        )
    ]
    await asyncio.sleep(0)
    held.set()
    await asyncio.gather(blocker, *later)
    device.close()
    assert order == ["new head", "hedge", "newer hedge"]


async def test_device_is_free_when_nothing_runs_or_waits() -> None:
    device, held = ComputeThread(), threading.Event()
    assert device.is_free
    running = asyncio.create_task(device.run(0.0, held.wait))
    waiting = asyncio.create_task(device.run(1.0, lambda: None))
    await asyncio.sleep(0)
    waiting.cancel()
    free = asyncio.create_task(device.until_free())
    await asyncio.sleep(0.02)
    assert not device.is_free
    assert not free.done()
    held.set()
    await asyncio.gather(running, free)
    await asyncio.sleep(0.02)
    assert device.is_free
    device.close()


async def test_what_work_raises_is_raised_where_it_is_waited_for() -> None:
    device = ComputeThread()
    with pytest.raises(UsageError, match="no"):
        await device.run(0.0, lambda: (_ for _ in ()).throw(UsageError("no")))
    device.close()
    device.close()


_PROGRAM = """
import asyncio, sys, threading, time, types
import numpy as np
import onnx
from onnx import helper
from edge_client.frames.compute_thread import ComputeThread
from partitioner.runtime.sessions import ModelFile, RuntimeOptions, open_session

SIZE = 2500
specs = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [SIZE, SIZE]) for name in "xy"]
graph = helper.make_graph([helper.make_node("MatMul", ["x", "x"], ["y"])], "g", specs[:1], specs[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = open_session(ModelFile("m", model.SerializeToString()), RuntimeOptions())
feeds = {"x": np.ones((SIZE, SIZE), np.float32)}
began, ended = threading.Event(), []

def work():
    began.set()
    session.run(None, feeds)
    ended.append(True)

class Lingers:
    # Keeps the interpreter at its end for as long as the run goes on, and 1 s longer.
    def __del__(self, ended=ended, sleep=time.sleep, now=time.monotonic):
        until = now() + 20
        while not ended and now() < until:
            sleep(0.1)

async def main():
    device = ComputeThread()
    running = asyncio.ensure_future(device.run(0.0, work))
    while not began.is_set():
        await asyncio.sleep(0)
    running.cancel()
    if sys.argv[1] == "closed":
        device.close()
    return device

sys.modules["held"] = types.ModuleType("held")
sys.modules["held"].lingers = Lingers()
kept = asyncio.run(main())
assert not ended
"""


@pytest.mark.slow
@pytest.mark.parametrize("device", ["closed", "open"])
def test_program_ends_as_it_should_while_the_device_still_computes(device: str) -> None:
    command = [sys.executable, "-c", _PROGRAM, device]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
