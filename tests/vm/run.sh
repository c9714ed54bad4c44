#!/bin/sh
# Run a command on Debian's stock kernel, with this machine's files: tests/vm/guest.py tells more.
#
#   tests/vm/run.sh [--cpus 2] [--memory 2048] [--kernel 6.1|6.12] -- COMMAND...
exec /usr/bin/python3 "$(dirname "$0")/guest.py" "$@"
