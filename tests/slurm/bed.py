"""A real SLURM on this machine: munged, slurmctld and a slurmd for each node, with GPUs in name only.

Everything lies in one temporary folder and listens on ports of its own, so that beds do not disturb each
other. All daemons, and all jobs by inheritance, carry MARK in their environment: what a killed test run
left behind is found by it, wherever it has got to.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from waiting import wait_until

MARK = "HOPEVAL_SLURM_BED"
"""Environment variable: <process id of the test run>-<its start time>-<the bed's own letters>."""
PREFIX = "hopeval-slurm-"
"""Of the names of the folders, in the machine's folder for temporary files; the mark follows."""
COMES_WITHIN_S = 300
"""How long anything may take on a machine under heavy load."""
PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def missing_programs():
    """Those of SLURM's and munge's programs that are not installed here."""
    return [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]


class Bed:
    """The cluster: ``nodes`` nodes named n0, n1, …, with ``gpus`` GPUs each."""

    def __init__(self, nodes=2, gpus=8, confined=False):
        self.nodes, self.gpus, self.confined = nodes, gpus, confined
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-{started(os.getpid())}-"))
        self.mark = self.folder.name.removeprefix(PREFIX)
        self.daemons = {}
        for name in ("etc", "log", "run", "state/ctld", "dev", "bin"):
            (self.folder / name).mkdir(parents=True)

    @property
    def environment(self):
        """What a user of the cluster has in the environment."""
        path = os.pathsep.join([str(self.folder / "bin"), _PATH])
        # Every bed counts its jobs from 1: those of two must not meet at one lock.
        locks = str(self.folder / "locks")
        return {
            "SLURM_CONF": str(self.folder / "etc/slurm.conf"),
            "PATH": path,
            "HOPEVAL_LOCKS": locks,
            MARK: self.mark,
        }

    def start(self):
        """Start all daemons; they answer when this returns."""
        kill_leftovers()
        self._configure()
        socket_path = self.folder / "run/munge.sock"
        self._daemon(
            "munged",
            *("munged", "--foreground", "--force", f"--socket={socket_path}"),
            *(f"--key-file={self.folder}/etc/munge.key", f"--seed-file={self.folder}/state/munged.seed"),
            *(f"--pid-file={self.folder}/run/munged.pid", f"--log-file={self.folder}/log/munged.log"),
        )
        wait_until(lambda: self.call("munge", "-n", "-S", str(socket_path), check=False).returncode == 0)
        self._daemon("slurmctld", "slurmctld", "-D", "-i")
        self.idle()

    def boot(self, node):
        """Start a node."""
        self._daemon(node, "slurmd", "-D", "-N", node)

    def crash(self, node):
        """End a node as a loss of power does: its daemon, its jobs, all at once, and SLURM finds it down."""
        daemon = self.daemons.pop(node)
        # The steps' daemons first, and the tasks at the same time: each would tell SLURM of the others' end.
        daemons = _with_open(self.folder / f"log/slurmd-{node}.log")
        kill([*daemons, *marked(self.mark, SLURMD_NODENAME=node)])
        daemon.wait()
        self.call("scontrol", "update", f"nodename={node}", "state=down", "reason=crashed")

    def stop(self):
        """Stop all jobs and daemons. What was left running all the same, by its command lines."""
        self.call("scancel", "--user", str(os.getuid()), check=False)
        for daemon in self.daemons.values():
            daemon.terminate()
        with suppress(AssertionError):
            wait_until(lambda: not marked(self.mark), most_s=20)
        left = marked(self.mark)
        kill(left)
        for daemon in self.daemons.values():
            daemon.wait()
        self._remove_cgroups()
        if not left:
            shutil.rmtree(self.folder)
        return list(left.values())

    def call(self, *command, check=True, cwd=None, env=None):
        """A command, finished, as a user of the cluster."""
        return subprocess.run(
            command,
            cwd=cwd,
            env=env or os.environ | self.environment,
            capture_output=True,
            text=True,
            check=check,
            timeout=COMES_WITHIN_S,
        )

    def states(self):
        """Each node's state, as sinfo has it."""
        done = self.call("sinfo", "--noheader", "--Node", "--format=%N %t", check=False)
        return dict(line.split() for line in done.stdout.splitlines())

    def jobs(self, states="all"):
        """The jobs in these states: id → (state, comment)."""
        done = self.call("squeue", "--noheader", f"--states={states}", "--format=%i|%T|%k")
        return {line.split("|")[0]: tuple(line.split("|")[1:]) for line in done.stdout.splitlines()}

    def active(self):
        """The jobs that wait, run or end."""
        return self.jobs("pending,running,completing,suspended,configuring")

    def jobs_on(self, node):
        """The ids of the jobs on a node."""
        return self.call("squeue", "--noheader", f"--nodelist={node}", "--format=%i").stdout.split()

    def job_of(self, shard):
        """The id of the one running job of a shard, or None."""
        found = [job for job, (state, comment) in self.jobs("running").items() if comment.endswith(f"_{shard}")]
        return found[0] if len(found) == 1 else None

    def cancel(self):
        """Cancel all jobs, and wait until none is left."""
        self.call("scancel", "--user", str(os.getuid()), check=False)
        wait_until(lambda: not self.active())

    def idle(self):
        """Mend all nodes, and wait until they are without jobs."""
        for node in {f"n{node}" for node in range(self.nodes)} - set(self.daemons):
            self.boot(node)
        idle = {f"n{node}": "idle" for node in range(self.nodes)}
        for node, state in self.states().items():
            if state != "idle":
                self.call("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        wait_until(lambda: self.states() == idle)

    def _configure(self):
        key = self.folder / "etc/munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        (self.folder / "etc/slurm.conf").write_text(self._slurm_conf())
        (self.folder / "etc/gres.conf").write_text(self._gres_conf())
        if self.confined:
            (self.folder / "etc/cgroup.conf").write_text(_CGROUP_CONF)
        # The plugin strips SLURM_CONF from what its jobs pass on to srun.
        for name in ("srun", "squeue", "scancel", "scontrol"):
            wrapper = self.folder / "bin" / name
            real = shutil.which(name, path=_PATH)
            wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/etc/slurm.conf exec {real} "$@"\n')
            wrapper.chmod(0o755)

    def _slurm_conf(self):
        host, folder = socket.gethostname().partition(".")[0], self.folder
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        controller, *ports = free_ports(1 + self.nodes)
        tracking = ("proctrack/cgroup", "task/cgroup") if self.confined else ("proctrack/linuxproc", "task/none")
        nodes = "".join(
            f"NodeName=n{node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=16 Boards=1 SocketsPerBoard=1"
            f" CoresPerSocket=16 ThreadsPerCore=1 RealMemory=200000 Gres=gpu:{self.gpus} State=UNKNOWN\n"
            for node, port in enumerate(ports)
        )
        return _SLURM_CONF.format(
            host=host, port=controller, user=user, folder=folder, tracking=tracking[0], task=tracking[1], nodes=nodes
        )

    def _gres_conf(self):
        """A line for each node; makes the device files: what is no device is refused, a link to one will do."""
        for node in range(self.nodes):
            for gpu in range(self.gpus):
                device = self.folder / f"dev/n{node}-gpu{gpu}"
                if self.confined:
                    os.mknod(device, 0o600 | 0o020000, os.makedev(240 + node, gpu))
                else:
                    device.symlink_to("/dev/null")
        last = self.gpus - 1
        return "".join(f"NodeName=n{n} Name=gpu File={self.folder}/dev/n{n}-gpu[0-{last}]\n" for n in range(self.nodes))

    def _daemon(self, name, *command):
        with open(self.folder / "log" / f"{name}.out", "ab") as log:
            process = subprocess.Popen(
                [shutil.which(command[0], path=_PATH), *command[1:]],
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.daemons[name] = process

    def _remove_cgroups(self):
        for folder in Path("/sys/fs/cgroup").glob("*/slurm_n*") if self.confined else []:
            for inner, _, _ in os.walk(folder, topdown=False):
                with suppress(OSError):
                    os.rmdir(inner)


_SLURM_CONF = """\
ClusterName=bed
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.sock
CredType=cred/munge
MpiDefault=none
ProctrackType={tracking}
TaskPlugin={task}
ReturnToService=2
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmdSpoolDir={folder}/state/slurmd-%n
StateSaveLocation={folder}/state/ctld
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
SlurmctldDebug=info
SlurmdDebug=info
# The declared cores and memory, not the machine's own.
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,defer_batch
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
MinJobAge=300
KillWait=5
OverTimeLimit=0
InactiveLimit=0
SlurmctldTimeout=300
SlurmdTimeout=300
MessageTimeout=60
BatchStartTimeout=60
JobRequeue=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
{nodes}PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefMemPerCPU=100 State=UP
"""
_CGROUP_CONF = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
ConstrainDevices=yes
ConstrainCores=no
ConstrainRAMSpace=no
"""


def free_ports(count):
    """Ports that nobody listens on, each another."""
    sockets = [socket.socket() for _ in range(count)]
    for found in sockets:
        found.bind(("127.0.0.1", 0))
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


def started(process):
    """When a process was started, in clock ticks since the machine was; None when there is none."""
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return None


def marked(mark=None, **variables):
    """The processes with this mark, or any, and these environment variables: id → (mark, command line).

    Not ourselves. The daemons of job steps hide their environment; they are known by their logs.
    """
    found = {}
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            values = dict(part.partition("=")[::2] for part in path.read_text(errors="replace").split("\0"))
            command = (path.parent / "cmdline").read_text(errors="replace").replace("\0", " ").strip()
            if command.startswith("slurmstepd:"):
                values[MARK] = next(
                    iter(re.findall(rf"/{PREFIX}(\d+-\d+-\w+)/", " ".join(_open_files(path.parent)))), ""
                )
        except OSError:
            continue
        wanted = variables | ({MARK: mark} if mark else {})
        if values.get(MARK) and wanted.items() <= values.items():
            found[int(path.parent.name)] = (values[MARK], command)
    found.pop(os.getpid(), None)
    return found


def _open_files(process):
    """The paths that a process, given by its folder in /proc, has open."""
    return [os.readlink(file) for file in (process / "fd").iterdir()]


def _with_open(path):
    """The processes that have a file open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(path) in _open_files(process):
                found.append(int(process.name))
    return found


def kill_leftovers():
    """End and remove what test runs left behind that were killed themselves; those that still run keep theirs."""
    kill([process for process, (mark, _) in marked().items() if _is_over(mark)])
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if _is_over(folder.name.removeprefix(PREFIX)):
            subprocess.run(["umount", "--lazy", str(folder / "disk")], capture_output=True)
            shutil.rmtree(folder, ignore_errors=True)


def _is_over(mark):
    """Whether the test run of this mark has ended."""
    numbers = re.match(r"(\d+)-(\d+)-", mark)
    return numbers is not None and started(numbers[1]) != int(numbers[2])


def kill(processes):
    """Kill these processes, and wait until they are gone."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    wait_until(lambda: not [p for p in processes if _runs(p)], most_s=60)


def _runs(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    # For trials by hand: prints what to export, and runs until it is interrupted.
    bed = Bed()
    bed.start()
    print("\n".join(f"export {name}={value}" for name, value in bed.environment.items()), flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("left running:", bed.stop())
