#!/usr/bin/env bash
# The smoke sweep on a SLURM of one node: this machine, Debian's packages, as root. Called by `make test-slurm`.
# Usage: tests/slurm.sh BIN, the folder of the environment's programs, which has dask-jobqueue.
set -euo pipefail
bin=$1
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d /tmp/slurm.XXXXXX)  # not TMPDIR: slurm.conf has no way to write a space

command -v slurmctld >/dev/null && command -v munged >/dev/null || {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge
}

node=$(hostname -s)
export SLURM_CONF=$work/slurm.conf
cat > "$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$node(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
SlurmctldPort=26817
SlurmdPort=26818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
$(slurmd -C | head -1) NodeAddr=127.0.0.1
PartitionName=all Nodes=ALL Default=YES State=UP
CONF
mkdir "$work/state" "$work/spool"

# A munge of our own: the machine's, if it runs, is left alone.
dd if=/dev/urandom of="$work/munge.key" bs=1 count=1024 status=none
chmod 600 "$work/munge.key"
chmod 711 "$work"

stop() {
  code=$?
  scancel --user=root 2>/dev/null || true
  for name in slurmd slurmctld munged; do
    [ -f "$work/$name.pid" ] && kill "$(cat "$work/$name.pid")" 2>/dev/null || true
  done
  if [ $code -ne 0 ]; then tail -n 20 "$work"/*.log "$work"/jobs/* 2>/dev/null || true; fi
  sleep 1
  rm -rf "$work"
  exit $code
}
trap stop EXIT

munged --force --socket="$work/munge.socket" --key-file="$work/munge.key" --pid-file="$work/munged.pid" \
  --log-file="$work/munged.log" --seed-file="$work/munged.seed"
slurmctld
slurmd
for _ in $(seq 60); do
  sinfo --noheader --format=%T 2>/dev/null | grep -q idle && break
  sleep 0.5
done
sinfo --noheader --format=%T | grep -q idle

mkdir "$work/jobs"
cd "$work"
export WRITEUP_OUTPUTS=$work/outputs
"$bin/python" "$here/tests/slurm_sweep.py" "$work/jobs"
