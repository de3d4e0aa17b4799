# Sourced by each peer's setup.sh: an environment of its own under build/peers, from its lock file.
# The lock file is complete, so nothing is resolved and equal locks give equal environments.
set -eu
peer=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$peer/../../.." && pwd)

make_environment() { # NAME PYTHON
    home="$root/build/peers/$1"
    command -v "$2" >/dev/null || { echo "$1 needs $2" >&2; exit 1; }
    rm -rf "$home"
    "$2" -m venv "$home"
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --requirement "$peer/lock.txt"
    # Written last: an interrupted set-up is no set-up.
    cp "$peer/lock.txt" "$home/installed.txt"
}
