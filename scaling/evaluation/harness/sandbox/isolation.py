"""Commands that start an interpreter in a sandbox made by bubblewrap (bwrap).

There are two layers. The outer one has a read-only view of the system's programs, mounts a small file system for
temporary files, and becomes an unprivileged user where it was started by root. It starts the inner one, which has user,
process, network, host name, IPC and mount namespaces of its own, sees the interpreter and its libraries read-only, and
has the small file system as its working folder.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scaling.config.validation import ConfigError
from scaling.evaluation.harness.sandbox.system_calls import seccomp_filter

UNPRIVILEGED_ID = 65531  # user and group; no account of any distribution has it (65520 to 65533 are unassigned)
TEMPORARY_BYTES, TEMPORARY_FILES = 16 * 2**20, 256  # of the working folder; folders count as files
LIBRARY_FOLDERS = tuple(map(Path, ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo")))
PROGRAM_FOLDERS = tuple(map(Path, ("/usr", "/bin", "/sbin")))
NULL_DEVICE = ("--perms", "0755", "--dir", "/dev", "--dev-bind", "/dev/null", "/dev/null")
MOUNT_POINT = "/temporary"  # of the file system for temporary files in the outer layer
# Without exec: the shell of root may end the inner layer, which another user runs, when it is ended itself.
MOUNT_AND_START = f'mount -t tmpfs -o "$1" tmpfs {MOUNT_POINT} && shift && "$@"; exit $?'
PACKAGE_HINT = "install it (apt-get install bubblewrap, dnf install bubblewrap)"
SETTINGS = (  # file, the value that refuses user namespaces, the setting that allows them
    ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
)


@dataclass(frozen=True)
class Isolation:
    """How the processes of a program are started.

    Attributes:
        name: What isolates them, for records.
        stage: Command before the inner layer.
        inner: Command of the inner layer, before the interpreter; empty without isolation.
        interpreter: Path of the interpreter.
        system_calls: The filter of system calls; empty without isolation.
    """

    name: str
    stage: tuple[str, ...]
    inner: tuple[str, ...]
    interpreter: str
    system_calls: bytes

    def command(self, filter_descriptor: int | None) -> list[str]:
        """Returns the command that starts the interpreter, without its arguments.

        Args:
            filter_descriptor: File descriptor that the filter of system calls can be read from; None without one.
        """
        seccomp = [] if filter_descriptor is None else ["--seccomp", str(filter_descriptor)]
        return [*self.stage, *self.inner, *seccomp, self.interpreter]


NO_ISOLATION = Isolation("none", (), (), sys.executable, b"")


def possible_isolations() -> list[Isolation]:
    """Returns the ways to isolate programs that this machine may allow, the preferred one first.

    Raises:
        ConfigError: A program that they need is not installed; the message names it.
    """
    if not sys.platform.startswith("linux"):
        raise ConfigError(f"programs are isolated on Linux only, this is {sys.platform}")
    is_root = os.geteuid() == 0
    tools = {name: shutil.which(name) for name in ("bwrap", "sh", "mount", *(("setpriv",) if is_root else ()))}
    for name, path in tools.items():
        if path is None:
            package = "bubblewrap (bwrap)" if name == "bwrap" else f"{name} of util-linux"
            raise ConfigError(f"{package} is not installed: {PACKAGE_HINT if name == 'bwrap' else 'install it'}")
    bwrap, shell = str(tools["bwrap"]), str(tools["sh"])
    interpreter = interpreter_path()
    libraries = [*LIBRARY_FOLDERS, *(interpreter.parent.parent / name for name in ("lib", "lib64")), interpreter]
    mount = (shell, "-c", MOUNT_AND_START, shell, f"size={TEMPORARY_BYTES},nr_inodes={TEMPORARY_FILES},mode=1777")
    stage = (
        bwrap, "--die-with-parent", *view([*PROGRAM_FOLDERS, *libraries, Path(bwrap)]),
        *NULL_DEVICE, "--bind", "/proc", "/proc", "--dir", MOUNT_POINT, "--dir", "/tmp",  # which bubblewrap itself uses
    )  # fmt: skip
    # Mounting needs the first capability, and the second one lets the inner layer map this user to another.
    as_user = (
        *stage, "--unshare-user", "--uid", "0", "--gid", "0", "--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_SETFCAP",
    )  # fmt: skip
    drop = (str(tools.get("setpriv")), f"--reuid={UNPRIVILEGED_ID}", f"--regid={UNPRIVILEGED_ID}", "--clear-groups")
    stages = [(*as_user, *mount)]
    if is_root:  # a container's root may lack the right to mount
        stages = [(*stage, *mount, *drop), (*drop, *as_user, *mount)]
    inner, system_calls = inner_command(bwrap, interpreter, libraries), seccomp_filter()
    return [Isolation("bubblewrap", command, inner, str(interpreter), system_calls) for command in stages]


def inner_command(bwrap: str, interpreter: Path, libraries: Sequence[Path]) -> tuple[str, ...]:
    """Returns the command of the inner layer.

    Args:
        bwrap: Path of bubblewrap.
        interpreter: The interpreter.
        libraries: Files and folders that it needs, itself among them.
    """
    # --as-pid-1: no other process is needed, since the filter of system calls lets none be started.
    return (
        bwrap, "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-ipc",
        "--unshare-cgroup-try", "--hostname", "sandbox", "--uid", str(UNPRIVILEGED_ID), "--gid", str(UNPRIVILEGED_ID),
        "--cap-drop", "ALL", "--die-with-parent", "--new-session", "--as-pid-1",
        "--bind", MOUNT_POINT, "/tmp", "--chdir", "/tmp", *NULL_DEVICE, *view(libraries), "--remount-ro", "/",
        "--clearenv", "--setenv", "LD_LIBRARY_PATH", str(interpreter.parent.parent / "lib"),  # of a shared libpython
    )  # fmt: skip


def view(paths: Sequence[Path]) -> list[str]:
    """Returns the options that show files and folders read-only at their places; those that do not exist are left out.

    Args:
        paths: The files and folders.
    """
    existing = list(dict.fromkeys(path for path in paths if path.exists()))
    parents = sorted({parent for path in existing for parent in path.parents if parent != Path("/")})
    options = [option for parent in parents for option in ("--perms", "0755", "--dir", str(parent))]
    for path in existing:
        link = path.is_symlink() and len(path.parts) == 2  # /lib -> usr/lib
        options += ["--symlink", os.readlink(path), str(path)] if link else ["--ro-bind", str(path), str(path)]
    return options


def interpreter_path() -> Path:
    """Returns the interpreter that virtual environments of this one are based on, without symbolic links."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix, "bin", version)
    return (base if base.exists() else Path(sys.executable)).resolve()


def remedy() -> str:
    """Returns what to do where bubblewrap cannot isolate programs, from the settings of this kernel."""
    for path, refused, allowed in SETTINGS:
        try:
            if Path(path).read_text("ascii").strip() == refused:
                return f"user namespaces are disabled: allow them (sysctl {allowed})"
        except OSError:  # the kernel does not have this setting
            continue
    return "allow user namespaces; a container needs options for this (docker: --security-opt seccomp=unconfined)"
