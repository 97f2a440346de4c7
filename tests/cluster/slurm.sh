#!/usr/bin/env bash
# Ingests pictures through a real Slurm of one node, which lives in a temporary folder, and compares the dataset byte by byte
# with that of an embedded cluster.
#
#     tests/cluster/slurm.sh [PYTHON]
#
# Uses the Slurm that is installed; as root on Debian or Ubuntu it installs the packages if they are missing. Nothing of an
# existing Slurm is touched: configuration, ports, keys and state are its own. Exit status 77: no Slurm can be started here.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${1:-.venv/bin/python}
here=$(mktemp -d /tmp/maskloom-slurm.XXXXXX)
node=$(hostname -s)

cannot() {
    echo "no Slurm here: $*" >&2
    exit 77
}

tear_down() {
    scancel --user "$(id -un)" 2>/dev/null || true
    for daemon in slurmd slurmctld munged; do
        [ -s "$here/$daemon.pid" ] && kill "$(cat "$here/$daemon.pid")" 2>/dev/null || true
    done
    sleep 1
    rm -rf "$here"
}

install_slurm() {
    command -v slurmctld slurmd sbatch munged >/dev/null && return
    [ -n "${CI:-}" ] || cannot "it is not installed; only continuous integration (CI=true) installs it by itself"
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || cannot "it is not installed, and only root could do that with apt-get"
    # Its daemons must not be started for the whole machine: Debian asks this file first.
    local policy=/usr/sbin/policy-rc.d made=no
    [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && made=yes; }
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        slurmctld slurmd slurm-client munge; } >"$here/apt.log" 2>&1 || failed=yes
    [ $made = no ] || rm $policy
    [ -z "${failed:-}" ] || cannot "apt-get could not install it: $(tail -n 1 "$here/apt.log")"
}

free_port() {
    "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

configure() {
    mkdir -p "$here"/{state,spool,dask,logs}
    chmod 755 "$here"
    (umask 077 && head -c 1024 /dev/urandom >"$here/munge.key")
    cat >"$here/slurm.conf" <<EOF
ClusterName=maskloom
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$here/munge.socket
CredType=cred/munge
StateSaveLocation=$here/state
SlurmdSpoolDir=$here/spool
SlurmctldPidFile=$here/slurmctld.pid
SlurmdPidFile=$here/slurmd.pid
SlurmctldLogFile=$here/slurmctld.log
SlurmdLogFile=$here/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=test Nodes=$node Default=YES State=UP
EOF
    cat >"$here/dask/jobqueue.yaml" <<EOF
jobqueue:
  slurm:
    queue: test
    cores: 1
    memory: 2GB
    walltime: "00:10:00"
    interface: lo
    local-directory: $here
    log-directory: $here/logs
    job-directives-skip: ["--mem"]
EOF
}

start_slurm() {
    export SLURM_CONF="$here/slurm.conf"
    munged --force --key-file="$here/munge.key" --socket="$here/munge.socket" --pid-file="$here/munged.pid" \
        --log-file="$here/munged.log" --seed-file="$here/munged.seed" || cannot "munged does not start"
    slurmctld && slurmd || cannot "its daemons do not start"
    for _ in $(seq 60); do
        sinfo --noheader --format=%T 2>/dev/null | grep -q idle && return
        sleep 0.5
    done
    cannot "its node does not come up: $(tail -n 3 "$here/slurmctld.log" "$here/slurmd.log")"
}

compare() {
    export OMP_NUM_THREADS=1 DASK_CONFIG="$here/dask"
    "$python" - "$here/source" <<'EOF'
import sys
from pathlib import Path

sys.path.insert(0, ".")
from tests.kill.kill_ingest import make_source

make_source(Path(sys.argv[1]), 1000)
EOF
    ingest() { timeout 90 "$python" -m maskloom ingest "$here/source" "$1" --shard-size 64 --workers 2 "${@:2}"; }
    ingest "$here/embedded" >"$here/embedded.log" 2>&1 || { cat "$here/embedded.log"; exit 1; }
    ingest "$here/slurm" --scheduler slurm >"$here/slurm.log" 2>&1 || {
        cat "$here/slurm.log" "$here"/logs/* "$here/slurmctld.log"
        exit 1
    }
    diff -r --exclude=tmp "$here/embedded" "$here/slurm"
    local jobs
    jobs=$(grep -c "Allocate JobId\|sched/backfill: _start_job: Started JobId" "$here/slurmctld.log" || true)
    [ "$jobs" -ge 1 ] || { echo "no Slurm job ran"; exit 1; }
    "$python" -m maskloom verify "$here/slurm"
    echo "the same bytes from $jobs Slurm jobs and from an embedded cluster"
}

trap tear_down EXIT
install_slurm
configure
start_slurm
compare
