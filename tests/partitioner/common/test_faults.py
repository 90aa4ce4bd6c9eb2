"""The first fault of a document, in plain words."""

from typing import Any

import pytest
from pydantic import Field, ValidationError, model_validator

from partitioner.common.faults import first_fault
from partitioner.common.frozen_model import FrozenModel


class Inner(FrozenModel):
    share: float = Field(default=0.5, gt=0)


class Document(FrozenModel):
    count: int = 1
    loop: bool = True
    name: str = ""
    inner: Inner = Inner()

    @model_validator(mode="after")
    def _is_no_loop_of_none(self) -> "Document":
        if self.loop and not self.count:
            raise ValueError("a loop of none")
        return self


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"count": "four"}, "count: 'four' should be a whole number"),
        ({"count": 1.5}, "count: 1.5 should be a whole number"),
        ({"loop": "maybe"}, "loop: 'maybe' should be true or false"),
        ({"name": 7}, "name: 7 should be a text"),
        ({"inner": {"share": -1}}, "inner.share: -1 should be greater than 0"),
        ({"inner": {"shar": 1}}, "inner.shar: there is no such field"),
        ({"count": 0}, "a loop of none"),
        ({"count": "x" * 300}, f"count: '{'x' * 59}… should be a whole number"),
    ],
)
def test_fault_names_the_field_the_value_and_what_was_wanted(
    document: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        Document.model_validate(document)
    assert first_fault(caught.value) == said
