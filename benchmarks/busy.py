"""How busy the CUDA devices of this machine are, sampled while something else works."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

PERIOD = 0.2  # seconds between two looks
_QUERY = "--query-gpu=index,utilization.gpu,memory.used"
_PATIENCE = 20  # seconds that nvidia-smi may take

# The device, the share of the last moments in which a kernel ran (0 to 1), and MiB in use.
Look = Callable[[], list[tuple[int, float, float]]]


@dataclass(slots=True)
class Busy:
    """Samples the devices from another thread while its block runs.

    Where neither pynvml nor nvidia-smi answers, there are no samples.
    """

    look: Look | None
    samples: dict[int, list[float]] = field(default_factory=dict)
    memory_mib: float = 0
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Busy:
        if self.look is not None:
            self._thread = threading.Thread(target=self._sample, args=(self.look,))
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _sample(self, look: Look) -> None:
        while not self._end.wait(PERIOD):
            for device, share, memory in look():
                self.samples.setdefault(device, []).append(share)
                self.memory_mib = max(self.memory_mib, memory)

    def share(self) -> float | None:
        """How busy the busiest device was from its first work to its last, None if unknown.

        What comes before and after is the start of processes and the last commit.
        """
        if not self.samples:
            return None
        found = max(self.samples.values(), key=sum)
        at_work = [number for number, share in enumerate(found) if share > 0]
        if not at_work:
            return 0.0
        window = found[at_work[0] : at_work[-1] + 1]
        return sum(window) / len(window)

    def as_dict(self) -> dict[str, Any]:
        return {
            "busy": self.share(),
            "memory_mib": self.memory_mib,
            "samples": max(map(len, self.samples.values()), default=0),
        }


def find_look() -> Look | None:
    """A way to look at the devices that works here, or None."""
    for find in (_nvml, _smi):
        look = find()
        if look is not None:
            return look
    return None


def _nvml() -> Look | None:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        numbers = range(pynvml.nvmlDeviceGetCount())
        devices = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in numbers]
    except pynvml.NVMLError:
        return None
    look = _nvml_look(pynvml, devices)
    return look if look() else None


def _nvml_look(pynvml: Any, devices: list[Any]) -> Look:
    def look() -> list[tuple[int, float, float]]:
        found = []
        for number, device in enumerate(devices):
            try:
                busy = pynvml.nvmlDeviceGetUtilizationRates(device).gpu / 100
                used = pynvml.nvmlDeviceGetMemoryInfo(device).used / 2**20
            except pynvml.NVMLError:
                continue
            found.append((number, busy, used))
        return found

    return look


def _smi() -> Look | None:
    command = shutil.which("nvidia-smi")
    if command is None:
        return None

    def look() -> list[tuple[int, float, float]]:
        # A call a sample: what `-lms` prints may wait in a buffer.
        try:
            done = subprocess.run(
                [command, _QUERY, "--format=csv,noheader,nounits"],
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
            )
        except (OSError, subprocess.TimeoutExpired):
            return []
        return read_smi(done.stdout)

    return look if look() else None


def read_smi(output: str) -> list[tuple[int, float, float]]:
    """What nvidia-smi prints, without the devices that tell nothing ("[N/A]")."""
    found = []
    for line in output.splitlines():
        try:
            number, busy, memory = map(float, line.split(","))
        except ValueError:
            continue
        found.append((int(number), busy / 100, memory))
    return found
