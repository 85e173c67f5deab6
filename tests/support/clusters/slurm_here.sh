#!/usr/bin/env bash
# A SLURM cluster of our own on one machine, for the tests: munge, slurmctld and some slurmd, all in one folder.
#
#   tests/support/clusters/slurm_here.sh up DIR [NODES] [CPUS]   starts it; then: export SLURM_CONF=DIR/slurm.conf
#   tests/support/clusters/slurm_here.sh down DIR                ends it, every job too
#
# As root, with Debian's slurm-wlm and munge (apt-get install --no-install-recommends slurm-wlm munge). Two partitions
# over the same nodes: jobs of `high` preempt those of `low`, which are put back into the queue.
set -euo pipefail

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
[ $# -ge 2 ] || usage
what=$1; mkdir -p "$2"; dir=$(cd "$2" && pwd)

free_ports() { # so many that nobody listens on
  python3 - "$1" <<'PY'
import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for one in held:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in held))
PY
}

write_conf() {
  local nodes=$1 cpus=$2 ports
  read -ra ports < <(free_ports $((nodes + 1)))
  cat > "$dir/slurm.conf" <<CONF
ClusterName=here
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# a job's credential is good for two minutes otherwise, and one that was put back waits for so long
AuthInfo=socket=$dir/munge.socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool.%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.%n.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
KillWait=20
MinJobAge=60
InactiveLimit=0
RebootProgram=/bin/true
CONF
  local names=() i
  for ((i = 1; i <= nodes; i++)); do
    names+=("here$i")
    echo "NodeName=here$i NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=${ports[$i]} CPUs=$cpus" \
      "Boards=1 SocketsPerBoard=1 CoresPerSocket=$cpus ThreadsPerCore=1 RealMemory=1000 State=UNKNOWN" >> "$dir/slurm.conf"
  done
  local all; all=$(IFS=,; echo "${names[*]}")
  {
    echo "PartitionName=low Nodes=$all Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE"
    echo "PartitionName=high Nodes=$all Default=NO MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF"
  } >> "$dir/slurm.conf"
}

up() {
  local nodes=${1:-2} cpus=${2:-1} i
  chmod 755 "$dir"
  mkdir -p "$dir/state"
  head -c 128 /dev/urandom > "$dir/munge.key"; chmod 400 "$dir/munge.key"
  # --force: root's own, in a folder that others may enter
  munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" --pid-file="$dir/munged.pid" \
    --log-file="$dir/munged.log" --seed-file="$dir/munged.seed" --num-threads=2
  write_conf "$nodes" "$cpus"
  export SLURM_CONF="$dir/slurm.conf"
  slurmctld -c -f "$SLURM_CONF"
  for ((i = 1; i <= nodes; i++)); do slurmd -c -N "here$i" -f "$SLURM_CONF"; done
  for ((i = 0; i < 150; i++)); do
    [ "$(sinfo --noheader --Node --partition=low --states=idle 2>/dev/null | wc -l)" -eq "$nodes" ] && return
    sleep 0.2
  done
  echo "slurm_here.sh: the nodes are not idle after 30 s: see $dir/*.log" >&2
  exit 1
}

down() {
  export SLURM_CONF="$dir/slurm.conf"
  scancel --user=root --signal=KILL 2>/dev/null || true
  scancel --user=root 2>/dev/null || true
  local file pid
  for file in "$dir"/slurmctld.pid "$dir"/slurmd.*.pid "$dir"/munged.pid; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    kill "$pid" 2>/dev/null || continue
    for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
  done
}

case $what in
  up) shift 2; up "$@" ;;
  down) down ;;
  *) usage ;;
esac
