#!/bin/sh
# Run a 32-bit program built with tools/cross/i386.ini: by the kernel itself where it can, else in
# qemu-user (whose threads hang in some containers).
#   run-i386.sh LIBRARIES PROGRAM ARGUMENTS...
cross=/usr/i686-linux-gnu
libraries=$1
shift
if $cross/lib/ld-linux.so.2 --version >/dev/null 2>&1; then
    exec $cross/lib/ld-linux.so.2 --library-path "$cross/lib:$libraries" "$@"
fi
exec qemu-i386 -L $cross -E LD_LIBRARY_PATH="$libraries" "$@"
