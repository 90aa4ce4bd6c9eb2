"""The base of documents: what is read from JSON or TOML, checked, and never changed."""

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """A document of which every field is known; a number that is none is refused unless told otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
