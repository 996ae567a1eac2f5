#!/usr/bin/env bash
# Proves the two commands on a freshly debootstrapped Debian 12 that has python3, git and make only:
# clones this repository's HEAD into it and runs `make demo` and `make test` there, as root.
#
#   deploy/prove-fresh-debian.sh [options] [-- COMMAND...]   default COMMANDs: "make demo" "make test"
#
#   --bind-ro PATH[:DEST]  show a file or directory of this machine inside, read-only (repeatable)
#   --setenv NAME=VALUE    set a variable inside (repeatable)
#   --mirror URL           Debian mirror for debootstrap (default: its own)
#   --base DIRECTORY       a minbase tree to copy instead of running debootstrap again
#   --root DIRECTORY       where the tree is made (default: a temporary directory)
#   --keep                 leave the tree for inspection
#
# The recorded data reaches the tests with --bind-ro ../shared/data:/root/shared/data (the clone is
# /root/solar-sharing). What a site needs to reach its package registries (certificates, an index,
# a proxy) comes in by the same options; the project knows nothing of it. Bind certificates to a path
# of their own: Debian's ca-certificates package writes to /etc/ssl/certs itself.
#
# Prints for every command its exit code, wall time, megabytes received and the processes it left.
# Exit code 0 only if every command passed and left no process behind.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mirror=
base='' root='' keep=no nspawn_options=() commands=()

fail() { printf 'prove: error: %s\n' "$*" >&2; exit 2; }
say() { printf 'prove: %s\n' "$*"; }

while (($#)); do
    case $1 in
    --bind-ro) nspawn_options+=("--bind-ro=${2:?}"); shift 2 ;;
    --setenv) nspawn_options+=("--setenv=${2:?}"); shift 2 ;;
    --mirror) mirror=${2:?}; shift 2 ;;
    --base) base=${2:?}; shift 2 ;;
    --root) root=${2:?}; shift 2 ;;
    --keep) keep=yes; shift ;;
    --) shift; commands=("$@"); break ;;
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" | sed '$d'; exit 0 ;;
    *) fail "unknown option $1 (--help shows the options)" ;;
    esac
done
((${#commands[@]})) || commands=("make demo" "make test")
[[ $(id -u) -eq 0 ]] || fail "needs root (debootstrap, systemd-nspawn)"
command -v systemd-nspawn >/dev/null || fail "systemd-nspawn is missing: apt-get install systemd-container"
[[ -n $base ]] || command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"

[[ -n $root ]] || root=$(mktemp -d -t solar-fresh-XXXXXX)/tree
[[ ! -e $root ]] || fail "$root exists already"
clean_up() {
    if [[ $keep == yes ]]; then say "tree kept in $root"; else rm -rf --one-file-system "$root"; fi
}
trap clean_up EXIT

mkdir -p "$(dirname "$root")"
if [[ -n $base ]]; then
    cp -a "$base" "$root"
else
    say "debootstrap of Debian 12 (minbase, python3, git, make) into $root"
    debootstrap --variant=minbase --include=python3,git,make bookworm "$root" ${mirror:+"$mirror"} >"$root.log" ||
        { tail -n 20 "$root.log" >&2; fail "debootstrap failed"; }
    rm -f "$root.log"
fi
git clone --quiet --no-hardlinks "$repository" "$root/root/solar-sharing"
say "clone of $(git -C "$repository" rev-parse --short HEAD), Debian $(cat "$root/etc/debian_version")"

# Runs as PID 2 under nspawn's own small init, which reaps what the command orphans. Leftovers are
# looked for inside, before the container is taken down with everything in it.
cat >"$root/root/run-command" <<'INSIDE'
cd /root/solar-sharing
bash -c "$1"
code=$?
# A moment of grace: what waits for its parent's end needs to notice it.
for _ in 1 2 3 4 5; do
    left=
    for entry in /proc/[0-9]*; do
        id=${entry#/proc/}
        ((id == 1 || id == $$)) && continue
        words=$(tr '\0' ' ' <"$entry/cmdline" 2>/dev/null) && [[ -n $words ]] && left+="    $id $words"$'\n'
    done
    [[ -n $left ]] || break
    sleep 1
done
printf '%s' "$left" >/root/left
exit $code
INSIDE

received_megabytes() {
    awk 'NR > 2 { sub(":", " "); if ($1 != "lo") sum += $2 } END { printf "%d", sum / 1e6 }' /proc/net/dev
}

status=0
summary=()
for command in "${commands[@]}"; do
    say "running: $command"
    started=$SECONDS received=$(received_megabytes) code=0
    # The host's network, no private one: only package registries are reached, as on any machine.
    systemd-nspawn --quiet --register=no --keep-unit --as-pid2 --pipe -D "$root" \
        --setenv=HOME=/root "${nspawn_options[@]}" \
        /bin/bash /root/run-command "$command" </dev/null || code=$?
    left=$(cat "$root/root/left" 2>/dev/null || true)
    summary+=("$command: exit $code, $((SECONDS - started)) s, $(($(received_megabytes) - received)) MB received, processes left: ${left:-none}")
    [[ $code -eq 0 && -z $left ]] || status=1
done
printf 'prove: %s\n' "${summary[@]}"
exit $status
