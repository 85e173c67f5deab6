"""Seccomp filter of the sandbox: the system calls that a program may not make, as a program in classic BPF.

A thread may be started, a process may not, so that the limits on memory and processor time of the one process are
totals. Also refused are calls that need no privilege and reach beyond the namespaces of the sandbox or its limits.
The others are left to the namespaces and to the kernel's checks.
"""

from __future__ import annotations

import errno
import platform
import struct

from scaling.config.validation import ConfigError

# Offsets in struct seccomp_data (linux/seccomp.h), of a machine with the low byte first.
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
# Instructions of classic BPF (linux/bpf_common.h): load a word, compare it with a constant, return.
LOAD, JUMP_EQUAL, JUMP_GREATER_EQUAL, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000  # SECCOMP_RET_*; ERROR has the errno in its low bits
CLONE_THREAD = 0x00010000
FIRST_COMMON = 424  # calls from Linux 5.1 on, the same numbers everywhere: clone3, io_uring; C libraries do without

# Number of each refused call by machine (asm/unistd_64.h, asm-generic/unistd.h); AUDIT_ARCH_* of linux/audit.h.
MACHINES: dict[str, tuple[int, int, dict[str, int]]] = {  # name: audit architecture, clone, refused calls
    "x86_64": (
        0xC000003E,
        56,
        {
            "fork": 57, "vfork": 58,
            "socket": 41,  # also AF_VSOCK and AF_ALG, which no namespace confines; socketpair is left
            "shmget": 29, "semget": 64, "msgget": 68, "mq_open": 240, "memfd_create": 319,  # memory outside the limit
            "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312,
            "add_key": 248, "request_key": 249, "keyctl": 250,  # keyrings of the session are inherited
            "unshare": 272, "setns": 308, "mount": 165, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
        },
    ),
    "aarch64": (
        0xC00000B7,
        220,
        {
            "socket": 198,
            "shmget": 194, "semget": 190, "msgget": 186, "mq_open": 180, "memfd_create": 279,
            "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272,
            "add_key": 217, "request_key": 218, "keyctl": 219,
            "unshare": 97, "setns": 268, "mount": 40, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282,
        },
    ),
}  # fmt: skip


def seccomp_filter() -> bytes:
    """Returns the filter for this machine, an array of struct sock_filter.

    Raises:
        ConfigError: The numbers of this machine's system calls are not known.
    """
    machine = platform.machine()
    if machine not in MACHINES:
        raise ConfigError(f"no filter of system calls for {machine}: there is one for {', '.join(MACHINES)}")
    architecture, clone, refused = MACHINES[machine]
    return b"".join(
        [
            instruction(LOAD, ARCHITECTURE),
            instruction(JUMP_EQUAL, architecture, if_true=1),
            instruction(RETURN, KILL),
            instruction(LOAD, NUMBER),
            instruction(JUMP_GREATER_EQUAL, FIRST_COMMON, if_false=1),  # also the x32 calls, from 0x40000000 on
            instruction(RETURN, ERROR | errno.ENOSYS),
            *(part for call in refused.values() for part in refuse(call)),
            instruction(JUMP_EQUAL, clone, if_true=1),
            instruction(RETURN, ALLOW),
            instruction(LOAD, FIRST_ARGUMENT),
            instruction(JUMP_ANY_BIT, CLONE_THREAD, if_false=1),
            instruction(RETURN, ALLOW),
            instruction(RETURN, ERROR | errno.EPERM),
        ]
    )


def refuse(call: int) -> list[bytes]:
    """Returns the instructions by which one system call fails with EPERM.

    Args:
        call: Number of the call.
    """
    return [instruction(JUMP_EQUAL, call, if_false=1), instruction(RETURN, ERROR | errno.EPERM)]


def instruction(code: int, constant: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Returns one struct sock_filter.

    Args:
        code: The operation.
        constant: Its operand.
        if_true: Instructions that a jump skips where its condition holds.
        if_false: Instructions that it skips otherwise.
    """
    return struct.pack("=HBBI", code, if_true, if_false, constant)
