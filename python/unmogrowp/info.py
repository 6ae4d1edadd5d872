"""What this installation is and runs on."""

from dataclasses import dataclass
from typing import final

from unmogrowp import _core


@final
@dataclass(frozen=True, slots=True)
class Info:
    """What this installation is and runs on.

    Attributes:
        version: Of the package.
        simd: The vector instructions in use: `avx512`, `avx2`, `neon` or `scalar`. The best this
            machine has, unless `UNMOGROWP_SIMD` names another that it has.
        threads: How many threads share the work: `UNMOGROWP_THREADS`, else the machine's.
    """

    version: str
    simd: str
    threads: int


def info() -> Info:
    """Say which version this is, which vector instructions it uses and how many threads.

    Returns:
        Version, instruction set and threads.

    >>> info().simd in {"avx512", "avx2", "neon", "scalar"}
    True
    """
    simd, threads = _core.info()
    return Info(_core.__version__, simd, threads)
