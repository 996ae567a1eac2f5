#!/usr/bin/env bash
# Makes this machine ready to run the project:  deploy/setup.sh demo|test
#
#   demo  what `make demo` needs: distribution packages, .venv from the hash-checked lock
#   test  the same, plus tools that only some tests use; without root these are left out and the
#         tests that want them are skipped with the reason
#
# Starts from a bare Debian 12 with python3, git and make. Every distribution package is named with
# its reason before it is installed. Running it again costs a moment: present tools are only probed,
# and .venv is left alone while the lock files have not changed.
#
# Exit codes: 2 usage, 3 distribution packages missing and not installable, 4 no Python 3.11.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly LOCK=requirements/all-py311.txt
readonly UV_LOCK=requirements/uv.txt # uv: installs the lock about ten times faster than pip, hashes checked
readonly STAMP=.venv/.solar-setup

say() { printf 'setup: %s\n' "$*"; }
fail() {
    local code=$1
    shift
    printf 'setup: error: %s\n' "$@" >&2
    exit "$code"
}

# ---- what the distribution gives -----------------------------------------------------------------

required=() # packages without which nothing works
optional=() # packages that only some tests use

need() { # need required|optional "PACKAGE..." "reason" PROBE...
    local -n list=$1
    local packages=$2 reason=$3
    shift 3
    if ! "$@" >/dev/null 2>&1; then
        say "to be installed from the distribution: $packages ($reason)"
        read -ra words <<<"$packages"
        list+=("${words[@]}")
    fi
}

has_program() { command -v "$1" || [[ -x /usr/sbin/$1 ]]; } # Debian's users have no sbin on PATH
makes_environments() { "$python" -c "import ensurepip, venv" 2>/dev/null; }
links_c() { # links_c COMPILER: a shared library with a libc header, as compiled trees are
    printf '#include <stdint.h>\nint32_t one(void) { return 1; }\n' |
        "$1" -shared -fPIC -x c - -o /dev/null
}

root_prefix() { # prints the words that run a command as root; fails when there are none
    if [[ $(id -u) -eq 0 ]]; then
        return 0
    elif command -v sudo >/dev/null && { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then
        echo sudo
    else
        return 1
    fi
}

apt_install() { # apt_install PACKAGE...; non-zero when this machine cannot
    local prefix status=0
    command -v apt-get >/dev/null || { say "this machine has no apt-get"; return 1; }
    prefix=$(root_prefix) || { say "neither root nor sudo here"; return 1; }

    # Debian starts a service when it installs it; nobody asked for a system-wide broker here.
    local policy=/usr/sbin/policy-rc.d
    if [[ -e $policy ]]; then policy=; else
        printf '#!/bin/sh\nexit 101\n' | $prefix tee $policy >/dev/null
        $prefix chmod 755 $policy
        # shellcheck disable=SC2064  # expanded now on purpose
        trap "$prefix rm -f $policy" EXIT
    fi
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120)
    { $prefix "${apt[@]}" update && $prefix "${apt[@]}" install -y --no-install-recommends "$@"; } \
        >"$log" 2>&1 || status=$?
    if [[ -n $policy ]]; then $prefix rm -f "$policy"; trap - EXIT; fi
    if ((status)); then
        tail -n 15 "$log" >&2
        return 1
    fi
    grep -E '^(Need to get|After this operation)' "$log" | sed 's/^/setup:   /' || true
}

# ---- Python ---------------------------------------------------------------------------------------

find_python() { # sets $python to a working 3.11; TensorFlow Lite's small runtime ends there
    local candidate version found=()
    python=
    for candidate in python3.11 python3 "$HOME"/.pyenv/versions/3.11*/bin/python; do
        # Asked, not believed: a pyenv shim exists for versions that are not active.
        version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
            continue
        if [[ $version == 3.11 ]]; then
            python=$("$candidate" -c 'import sys; print(sys.executable)')
            return 0
        fi
        found+=("$candidate is $version")
    done
    local list=${found[*]/%/;}
    fail 4 "Python 3.11 is needed and was not found (${list:-no python3 at all})." \
        "Debian 12 has it as python3; with pyenv: pyenv install 3.11"
}

lock_digest() { # changes whenever .venv has to be brought up to date
    { cat "$LOCK" "$UV_LOCK" pyproject.toml; pwd; } | sha256sum | cut -d' ' -f1
}

make_environment() {
    if ! .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        say "making .venv with $python"
        "$python" -m venv --clear .venv
    fi
    local count
    count=$(grep -c '==' "$LOCK")
    say "installing $count locked Python packages into .venv, every hash checked (about 2.8 GB on disk)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$UV_LOCK"
    .venv/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes "$LOCK"
    # With the locked setuptools, so that this step fetches nothing.
    .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
}

received_megabytes() { # by every network interface but loopback
    awk 'NR > 2 { sub(":", " "); if ($1 != "lo") sum += $2 } END { printf "%d", sum / 1e6 }' /proc/net/dev
}

# ---- main -----------------------------------------------------------------------------------------

group=${1:-}
[[ $group == demo || $group == test ]] || fail 2 "usage: deploy/setup.sh demo|test"

log=$(mktemp)
received_before=$(received_megabytes)
changed=no

find_python
if ! makes_environments; then
    [[ $python == /usr/bin/* ]] ||
        fail 4 "$python cannot make virtual environments (no ensurepip); use another Python 3.11"
fi

need required python3-venv "makes .venv" makes_environments
need required mosquitto "the MQTT broker" has_program mosquitto
need required "gcc libc6-dev" "compile tree models for this machine" links_c gcc
need required "gcc-aarch64-linux-gnu libc6-dev-arm64-cross" \
    "compile the same models for 64-bit ARM boxes" links_c aarch64-linux-gnu-gcc
if [[ $group == test ]]; then
    need optional mosquitto-clients "a plain device is mosquitto_pub" has_program mosquitto_pub
    need optional chromium "looks at the dashboard" has_program chromium
    need optional strace "stops the agent behind a storage call, to cut the power there" \
        has_program strace
    need optional debootstrap "makes Debian trees for container and arm64 tests" has_program debootstrap
    need optional systemd-container "boots a Debian in which the service unit is tested" \
        has_program systemd-nspawn
    need optional "qemu-user-static binfmt-support" "runs arm64 programs" \
        has_program qemu-aarch64-static
fi

if ((${#required[@]})); then
    apt_install "${required[@]}" ||
        fail 3 "could not install: ${required[*]}" "install these as root, then run this again"
    changed=yes
fi
if ((${#optional[@]})); then
    if apt_install "${optional[@]}"; then changed=yes; else
        say "going on without: ${optional[*]} (tests that need them will be skipped by name)"
    fi
fi

digest=$(lock_digest)
if [[ $(cat $STAMP 2>/dev/null) != "$digest" ]]; then
    make_environment
    echo "$digest" >$STAMP
    changed=yes
fi

rm -f "$log"
if [[ $changed == yes ]]; then
    received=$(($(received_megabytes) - received_before))
    say "ready after $SECONDS s, $received MB received, .venv $(du -sm .venv | cut -f1) MB on disk"
fi
