"""Damaged bytes for everything that reads bytes of others: a sentence, and nothing else that is raised."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.kit.readers import Reader, is_refused, readers

_INPUTS = 40


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    return {reader.name: reader for reader in readers(tmp_path_factory.mktemp("damage"))}


def names() -> Iterator[str]:
    for reader in readers(Path()):
        yield reader.name


@pytest.mark.parametrize("name", sorted(names()))
def test_damaged_bytes_are_read_or_refused_with_a_sentence(
    name: str, known: dict[str, Reader]
) -> None:
    reader = known[name]

    @given(reader.samples.inputs)
    @settings(max_examples=_INPUTS, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    def read(data: bytes) -> None:
        is_refused(reader, data)

    read()
