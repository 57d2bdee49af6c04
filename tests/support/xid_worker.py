"""A process that counts XIDs as the agent does: kernel log from a file, NVML's events from standard input.

Lines it takes: `nvml UUID INDEX XID TIME`, `flush`, `show`; it answers the last two.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from exporters.gpu.kernel_log import KernelLogSource
from exporters.gpu.xid_ledger import XidLedger
from gigawatch.catalogue import gpu


def main(log: Path, state: Path) -> None:
    ledger = XidLedger(state)
    source = KernelLogSource(0.1, ledger, deadline=60, path=log)
    ledger.identify({(0, 0x10 + index, 0): (str(index), f"GPU-{index}") for index in range(8)})
    list(source.read())
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "nvml":
            ledger.nvml(words[1], words[2], None, int(words[3]), float(words[4]))
        elif words[0] == "flush":
            print(ledger.flush(60), flush=True)
        else:
            found = [
                [*r.labels[1:], r.value] for r in source.read() if r.metric is gpu.GPU_XID_ERRORS and r.value
            ]
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
