"""The fingerprint of the machine that measures."""

import platform
import socket
from pathlib import Path

import psutil

from partitioner.profiles.profile import Machine
from partitioner.runtime.providers import accelerator_of
from partitioner.runtime.sessions import RuntimeOptions
from partitioner.runtime.silent_runtime import onnxruntime


def machine_of(options: RuntimeOptions) -> Machine:
    """Return the fingerprint of this machine, running with `options`."""
    return Machine(
        hostname=socket.gethostname(),
        cpu=_cpu_name(),
        cores=psutil.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        runtime=f"onnxruntime {onnxruntime.__version__}",
        provider=options.provider,
        accelerator=accelerator_of(options.provider),
        threads=options.threads,
    )


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
