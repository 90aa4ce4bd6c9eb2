"""The outputs of every frame in a folder: one .npz a frame, each whole or not there at all."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from partitioner.common.files import whole_file
from protos.errors import UsageError
from protos.tensors import Array


class OutputFolder:
    """Saves outputs under the number of their frame. Raises UsageError for a folder that holds anything."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            taken = next(folder.iterdir(), None)
        except OSError as error:
            raise UsageError(
                f"--save-outputs {folder} cannot be used: {error.strerror}. Give another folder."
            ) from error
        if taken is not None:
            raise UsageError(
                f"--save-outputs {folder} holds {taken.name}, among others perhaps. Give a new or an empty "
                "folder, so that no frame takes the place of another's."
            )

    def save(self, frame: int, outputs: Mapping[str, Array]) -> str | None:
        """Write the outputs of a frame, and return the file's name; None where there are none.

        Raises FileError when the disk takes no more; what was saved before stays.
        """
        if not outputs:
            return None
        path = self._folder / f"{frame:08d}.npz"
        # Not numpy.savez, to which an output by the name of `file` would be its own argument.
        with whole_file(path) as partial, zipfile.ZipFile(partial, "w") as archive:
            for name, array in outputs.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
        return path.name
