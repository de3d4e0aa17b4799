#!/bin/sh
# The interpreter of Debian 12: PyTriton's wheel brings a Triton that is linked against it, and a
# Python built elsewhere (pyenv, conda) does not start it. Needs `apt install python3-venv`.
. "$(dirname "$0")/../environment.sh"
make_environment pytriton "${PYTRITON_PYTHON:-/usr/bin/python3.11}"
