"""The options of tails on a cluster."""

from pathlib import Path
from typing import Any

import pytest

from cloud_server.cluster.options import ClusterOptions, read_options
from protos.errors import UsageError


def test_file_says_options_in_the_words_of_flags() -> None:
    found = read_options(
        {"bundles": "b", "max-message": "1MiB", "threads": 2, "workers": 3, "preload": "c1,c2"}
    )
    assert found == ClusterOptions(
        Path("b"), max_message_bytes=1 << 20, threads=2, workers=3, preload=("c1", "c2")
    )
    assert found.cpus == 6


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ({}, "bundles is missing. Give the folder"),
        ({"bundles": "b", "min_replica": 2}, "'min_replica'. The nearest is min_replicas"),
        ({"bundles": "b", "workers": 0}, "workers is wrong: 0 workers serve nobody"),
        ({"bundles": "b", "workers": "many"}, "workers"),
        ({"bundles": "b", "upscale-delay": "0s"}, "upscale_delay is wrong: 0 s is no delay"),
        ({"bundles": "b", "min-replicas": 3}, "at most 1 and at least 3 replicas cannot be"),
        ({"bundles": "b", "listen": "0.0.0.0:1"}, "there is no setting 'listen'"),
    ],
)
def test_wrong_option_is_named(written: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_options(written)
