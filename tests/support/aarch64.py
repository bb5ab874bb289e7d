"""What LLVM makes of the kernels for ARM's 64-bit processors, on any machine.

As a program it prints the kernels' code before LLVM's last step, which is the same for all targets
but for the sizes of vectors and tiles: those are chosen as on such a processor.
"""

import json
import platform
import re
import sys
from unittest.mock import patch

import llvmlite.binding as llvm

PROCESSORS = {"apple-m1": "arm64-apple-macosx", "cortex-a76": "aarch64-unknown-linux-gnu"}
"""By LLVM's name: the system."""


def kernels():
    """Return the code of `winograd` and `align` for float32."""
    import numba  # noqa: PLC0415 - only what is run as a program needs it
    import numpy as np  # noqa: PLC0415
    from numba import boolean, float32, int64  # noqa: PLC0415

    with patch.object(platform, "machine", lambda: "aarch64"):
        from vsrpp_cli.kernels import loops  # noqa: PLC0415
    kind, table = (numba.typeof(np.zeros(1, dtype)) for dtype in (np.float32, np.int64))
    flows = numba.types.Array(float32, 4, "C")
    integers = [int64] * 10
    signatures = {
        loops.winograd: (
            kind, table, table, *integers[:6], float32, int64, boolean, int64, int64
        ),
        loops.align: (kind, table, int64, flows, *integers[:9]),
    }  # fmt: skip
    found = {}
    for kernel, signature in signatures.items():
        kernel.compile(signature)
        (found[kernel.__name__],) = kernel.inspect_llvm().values()
    return found


def assembly(code, processor):
    """Return the listing of a kernel's code for a processor."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple = PROCESSORS[processor]
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=processor, opt=3)
    code = re.sub(r"^target triple = .*", f'target triple = "{triple}"', code, flags=re.MULTILINE)
    layout = f'target datalayout = "{machine.target_data}"'
    code = re.sub(r"^target datalayout = .*", layout, code, flags=re.MULTILINE)
    code = re.sub(r'"target-(cpu|features)"="[^"]*"', "", code)
    # How x86 counts references; what counts them does not matter here.
    code = re.sub(r"= (tail )?call i8 @llvm\.x86\.atomic.*", "= add i8 0, 1", code)
    return machine.emit_assembly(llvm.parse_assembly(code))


def scalar_arithmetic(listing):
    """Return the instructions that compute with single floating-point values."""
    single = r"^\t(f(?:add|sub|mul|div|madd|msub|nmul|max|min)\w*)\s+[sd]\d"
    return re.findall(single, listing, re.MULTILINE)


def loops(listing):
    """Return the innermost loops that are one block."""
    blocks = re.split(r"^(?=[.L]\w+:)", listing, flags=re.MULTILINE)
    for block in blocks:
        label = re.escape(block.partition(":")[0])
        whole = re.match(rf".*?\tb\.\w+\t{label}\n", block, re.DOTALL)
        if whole:
            yield whole.group()


def multiplications_share(loop):
    """Return how many of a loop's instructions are vector multiplications with additions."""
    instructions = re.findall(r"^\t([a-z]\S*)", loop, re.MULTILINE)
    return sum(name.startswith("fmla") for name in instructions) / len(instructions)


if __name__ == "__main__":
    json.dump(kernels(), sys.stdout)
