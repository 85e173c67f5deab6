"""Attempts of a program to get out of its sandbox, as functions whose source is the program; standard library only.

Each returns True where it succeeds. `host` has facts about the machine outside, as literals: see `Host` in conftest.py.
"""


def reads_a_file(host):
    return "known contents" in open(host["file"]).read()


def reads_a_file_through_a_link(host):
    import os

    os.symlink(host["file"], "link")
    return "known contents" in open("link").read()


def writes_a_file(host):
    import os

    open(host["folder"] + "/written", "w").close()
    os.remove(host["folder"] + "/written")
    return True


def writes_beside_its_folder(host):
    import os

    for folder in ["/", "/usr", "/usr/lib", "/root", "/home", "/dev/shm", "/run", "/var/tmp", host["folder"]]:
        try:
            os.mkdir(os.path.join(folder, "program-wrote-this"))
        except OSError:
            continue
        os.rmdir(os.path.join(folder, "program-wrote-this"))
        return True


def finds_folders_of_the_system(host):
    import os

    return any(map(os.path.exists, ["/etc/passwd", "/home", "/var", "/sys", "/run", "/proc", "/opt", "/usr/sbin"]))


def reads_the_name_of_the_host(host):
    import os

    return os.uname().nodename == host["name"]


def sees_a_process(host):
    import os

    return str(host["pid"]) in os.listdir("/proc")


def signals_a_process(host):
    import os

    os.kill(host["pid"], 0)
    return True


def connects_to_a_port(host):
    import socket

    socket.create_connection(("127.0.0.1", host["port"]), 2).close()
    return True


def connects_to_a_unix_socket(host):
    import socket

    socket.socket(socket.AF_UNIX).connect(host["socket"])
    return True


def connects_to_an_abstract_socket(host):
    import socket

    socket.socket(socket.AF_UNIX).connect("\0" + host["abstract_socket"])
    return True


def opens_a_socket(host):
    """Also those that network namespaces do not confine, such as AF_VSOCK to the host of a virtual machine."""
    import socket

    for family, kind in ((socket.AF_INET, socket.SOCK_DGRAM), (socket.AF_UNIX, socket.SOCK_STREAM), (40, 1), (38, 5)):
        try:
            socket.socket(family, kind).close()
        except OSError:
            continue
        return True


def makes_namespaces(host):
    import ctypes

    library = ctypes.CDLL(None)
    return any(library.unshare(flag) == 0 for flag in (0x10000000, 0x00020000))  # user, mount


def mounts_a_file_system(host):
    import ctypes
    import os

    os.mkdir("mounted")
    library = ctypes.CDLL(None)
    mounted = library.unshare(0x10020000) == 0 or library.unshare(0x00020000) == 0  # of the machine nothing changes
    return library.mount(b"none", b"mounted", b"tmpfs", 0, b"size=1k") == 0 and mounted


def renames_the_host(host):
    import ctypes

    name = host["name"].encode()  # the same again
    return ctypes.CDLL(None).sethostname(name, len(name)) == 0


def has_capabilities(host):
    import ctypes

    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    ctypes.CDLL(None).capget(header, sets)
    return any(sets)


def may_gain_privileges(host):
    import ctypes
    import os

    has_some = any(
        os.stat(os.path.join(folder, name)).st_mode & 0o6000
        for folder in ("/usr/bin", "/usr/sbin", "/bin")
        if os.path.isdir(folder)
        for name in os.listdir(folder)
        if os.path.exists(os.path.join(folder, name))
    )
    return has_some and ctypes.CDLL(None).prctl(39, 0, 0, 0, 0) == 0  # PR_GET_NO_NEW_PRIVS


def traces_a_process(host):
    import ctypes

    return ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0  # PTRACE_TRACEME


def reads_the_keyring(host):
    import ctypes
    import platform

    number = {"x86_64": 250, "aarch64": 219}[platform.machine()]
    return ctypes.CDLL(None).syscall(number, 0, -3, 1) > 0  # KEYCTL_GET_KEYRING_ID of the session


def makes_shared_memory(host):
    import ctypes

    library = ctypes.CDLL(None)
    segment = library.shmget(0, 2**20, 0o600)
    library.shmctl(segment, 0, None)  # IPC_RMID
    return segment >= 0


def makes_memory_files(host):
    import os

    return os.memfd_create("memory") > 0


def forks(host):
    import os

    for _ in range(3):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
    return True


def spawns(host):
    import subprocess
    import sys

    return subprocess.run([sys.executable, "-c", ""]).returncode == 0


def executes_another_program(host):
    import os

    return os.path.exists("/bin/sh") or os.path.exists("/usr/bin/env")


def writes_40_megabytes(host):
    for number in range(40):
        with open(f"large-{number}", "wb") as file:
            file.write(bytes(2**20))
    return True


def writes_a_large_file(host):
    with open("large", "wb") as file:
        file.write(bytes(2**20 + 1))
    return True


def writes_5000_files(host):
    for number in range(5000):
        open(f"file-{number}", "w").close()
    return True


def makes_a_folder_2000_deep(host):
    import os

    for _ in range(2000):
        os.mkdir("d")
        os.chdir("d")
    return True


def makes_a_device(host):
    import os
    import stat

    os.mknod("device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    return True


def sees_the_environment(host):
    import os

    return bool(set(os.environ) - {"LC_CTYPE"})  # which the interpreter sets


def has_files_open(host):
    """Beyond the standard streams and the two pipes."""
    import os

    count = 0
    for descriptor in range(1000):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        count += 1
    return count > 5


def starts_300_threads(host):
    import threading

    done = threading.Event()
    threads = [threading.Thread(target=done.wait, args=(5,), daemon=True) for _ in range(300)]
    threading.stack_size(2**16)
    try:
        for thread in threads:
            thread.start()
        return True
    finally:
        done.set()


def allocates_with_8_processes(host):
    """Each within the limit of a process, together beyond it."""
    import os

    def allocate():
        memory = bytearray(100 * 2**20)
        memory[:: 2**12] = bytes(len(memory) >> 12)
        return memory

    readings = []
    for _ in range(8):
        reading, writing = os.pipe()
        if not os.fork():
            allocate()
            os.write(writing, b"1")
            os._exit(0)
        os.close(writing)
        readings.append(reading)
    return all(os.read(reading, 1) for reading in readings)


def allocates_a_gigabyte(host):
    return len(bytearray(2**30)) > 0
