"""Take what installs packages out of an image's own Python: nothing is installed there any more."""

import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path

INSTALLERS = ("pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack", "ensurepip")


def main() -> None:
    """Remove them, their metadata and their commands."""
    for name in INSTALLERS:
        spec = find_spec(name)
        if spec and spec.origin:
            home = Path(spec.origin).parent
            shutil.rmtree(home)
            for metadata in home.parent.glob(f"{name}-*-info"):
                shutil.rmtree(metadata)
    commands = {Path(sysconfig.get_path("scripts")), Path("/usr/local/bin"), Path("/usr/bin")}
    for command in (path for folder in commands for path in folder.glob("pip*")):
        command.unlink()


if __name__ == "__main__":
    main()
