"""The drain: announced, started, finished."""

import asyncio

from protos.serving.drain import Drain


def test_drain_that_is_announced_is_not_ready_and_has_not_started() -> None:
    drain, told = Drain(), []
    with drain.listener(lambda: told.append(1)):
        assert drain.ready
        drain.announce()
        assert (drain.ready, drain.started, told) == (False, False, [])
        drain.start()
        drain.start()
    assert (drain.ready, drain.started, told) == (False, True, [1])


async def test_drain_waits_for_all_work_and_no_longer_than_its_grace() -> None:
    drain = Drain()
    assert await drain.finished(0)
    with drain.work():
        with drain.work():
            assert not await drain.finished(0)
        waiting = asyncio.ensure_future(drain.finished(60))
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting
    assert await drain.finished(0)
