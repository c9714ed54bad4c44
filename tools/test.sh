#!/bin/sh
# All tests, or the suites named:
#
#   tools/test.sh [build|lint|unit|rfc|sim|clang|fuzz|net|vm|vm612|demo|i386|s390x|musl]...
#
# build  gcc with AddressSanitizer and UBSan; gcc and clang with warnings as errors
# lint   tools/lint.py
# unit, rfc, sim  in the sanitizer build
# clang  unit and rfc once more as clang makes them
# fuzz   tools/fuzz.sh: each target 20 s, then what the corpora reach
# net    network namespaces, real sockets, Debian's peers (root)
# vm     tests/vm on a kernel with L2TP and PPP: this machine's, or Debian's in a guest (root)
# vm612  what we believe about the kernel, on Debian's newer one
# demo   tests/net/demo.sh as `make demo` runs it (root)
# i386, s390x, musl  the engines on other machines: unit, rfc and the corpora
#
# Everything goes to build/results. A suite prints its counts and time, and what failed. The last
# line is "N passed, N failed, N skipped", counted from what the runners report; the exit status
# is true when nothing failed and nothing was skipped.
set -u
cd "$(dirname "$0")/.." || exit 1

suites=${*:-build lint unit rfc sim clang i386 s390x musl fuzz net vm vm612 demo}
results=$PWD/build/results
export PYTHONDONTWRITEBYTECODE=1
mkdir -p "$results"
rm -f "$results"/*
: >"$results/counts"

tools/setup.sh test || exit 1

# configure DIRECTORY OPTION...: also when the directory is from an earlier run
configure() {
    dir=$1
    shift
    if [ -f "$dir/build.ninja" ]; then
        # one option a line: a value may have spaces
        (IFS='
' && meson configure "$dir" $(printf '%s\n' "$@" | grep '^-D')) && return
    fi
    rm -rf "$dir"
    meson setup "$dir" "$@"
}

# -O1 without following variables for the debugger: with sanitizers gcc takes half the time for it. What
# it warns of at that level is not true of the others; those are without a warning.
asan_build() {
    configure build/test -Db_sanitize=address,undefined -Db_lundef=false -Dfaults=true \
        -Doptimization=1 "-Dc_args=-fno-var-tracking -Wno-format-truncation" && ninja -C build/test
}
gcc_build() {
    configure build/test-gcc -Dbuildtype=release -Dwerror=true -Dfaults=true && ninja -C build/test-gcc
}
clang_build() {
    CC=clang configure build/test-clang -Dwerror=true && ninja -C build/test-clang
}

# tap_of COMMAND...: run it as one test of a TAP file
tap_of() {
    if "$@" >"$results/$1.out" 2>&1; then
        echo "ok - $1"
    else
        echo "not ok - $1"
        grep -E 'error:|warning:|FAILED|undefined reference' "$results/$1.out" | head -n 20
        tail -n 20 "$results/$1.out"
    fi
}

suite_build() {
    {
        tap_of asan_build
        tap_of gcc_build
        tap_of clang_build
        echo 1..3
    } >"$results/build.tap"
    report="$results/build.tap"
}

# meson_suite DIRECTORY SUITE...: tests of a build that is made first
meson_suite() {
    dir=$1
    shift
    ninja -C "$dir" || return 1
    rm -f "$dir/meson-logs/testlog.json"
    meson test -C "$dir" --no-rebuild $(printf -- '--suite %s ' "$@")
    report="$dir/meson-logs/testlog.json"
}

suite_unit() { asan_build && meson_suite build/test unit fuzz; }
suite_rfc() { asan_build && meson_suite build/test rfc; }
suite_sim() { asan_build && meson_suite build/test sim; }
suite_clang() { clang_build && meson_suite build/test-clang unit rfc; }

suite_lint() {
    tools/lint.py >"$results/lint.tap"
    report="$results/lint.tap"
}

suite_fuzz() {
    # The same commit gives the same verdict; `make fuzz` searches on at random.
    FUZZ_RUNS=20000 timeout -k 10 1200 tools/fuzz.sh >"$results/fuzz.tap"
    report="$results/fuzz.tap"
}

suite_net() {
    asan_build || return 1
    # three at a time, also with two CPUs: most of them wait most of the time
    ADIT_BUILD=$PWD/build/test timeout -k 10 2400 /usr/bin/python3 -m pytest -q -n 3 \
        -p no:cacheprovider --junitxml="$results/net.xml" tests/net
    report="$results/net.xml"
}

# in_guest NAME BUILD CPUS TEST...: pytest on a kernel with L2TP, into vm-NAME.xml
in_guest() {
    name=$1 programs=$PWD/build/$2 cpus=$3
    shift 3
    ADIT_BUILD=$programs tests/vm/guest.py --auto --cpus "$cpus" --timeout 2100 -- /usr/bin/python3 \
        -m pytest -q -p no:cacheprovider --junitxml="$results/vm-$name.xml" "$@"
}

# The suite as a service: the guest's process 1 is systemd.
in_systemd() {
    ADIT_BUILD=$PWD/build/test-gcc tests/vm/guest.py --systemd --timeout 900 -- /usr/bin/python3 -m \
        pytest -q -p no:cacheprovider --junitxml="$results/vm-systemd.xml" tests/vm/test_systemd.py
}

# Two guests side by side: in each of them one thing happens at a time. Sanitizers are too slow for
# the peers' patience where QEMU translates, so they watch the plane; there with one CPU, as a second
# one doubles what QEMU needs for the same. What two CPUs may do to each other in the kernel is seen
# by the kills and the contract, in the guest of the peers and in vm612; by turns where QEMU
# translates (tests/vm/guest.py), at the same time with KVM or on this machine's own kernel.
suite_vm() {
    asan_build && gcc_build || return 1
    tests/vm/guest.py --prepare || return 1
    in_guest peers test-gcc 2 tests/vm/test_contract.py tests/vm/test_attach.py \
        tests/vm/test_interop.py tests/vm/test_kernel_kills.py tests/vm/test_kernel_keeper.py \
        tests/vm/test_wires.py >"$results/vm-peers.log" 2>&1 &
    {
        in_guest plane test 1 $(ls tests/vm/test_*.py | grep -vE '_(contract|attach|interop|systemd|kernel_kills|kernel_keeper|wires).py')
        in_systemd
    } >"$results/vm-plane.log" 2>&1
    wait
    cat "$results/vm-peers.log" "$results/vm-plane.log"
    report="$results/vm-peers.xml
$results/vm-systemd.xml
$results/vm-plane.xml"
}

suite_vm612() {
    asan_build || return 1
    ADIT_BUILD=$PWD/build/test tests/vm/guest.py --kernel 6.12 -- /usr/bin/python3 -m pytest -q \
        -p no:cacheprovider --junitxml="$results/vm612.xml" tests/vm/test_contract.py \
        tests/vm/test_attach.py
    report="$results/vm612.xml"
}

demo() {
    ADIT_BUILD=$PWD/build/test-gcc timeout -k 10 300 tests/net/demo.sh
}

suite_demo() {
    gcc_build || return 1
    { tap_of demo; echo 1..1; } >"$results/demo.tap"
    report="$results/demo.tap"
}

# The engines on another machine: unit tests, transcripts, the corpora of the parsers.
foreign() {
    arch=$1
    shift
    tools/sysroot.sh "$arch" || return 1
    configure "build/test-$arch" --cross-file "build/sysroot-$arch/root.ini" \
        --cross-file "tools/cross/$arch.ini" -Dprograms=false -Dwerror=true "$@" &&
        meson_suite "build/test-$arch" unit rfc fuzz
}

suite_i386() { foreign i386 -Db_lundef=false -Db_sanitize=undefined; }
suite_s390x() { foreign s390x -Db_lundef=false -Db_sanitize=undefined; }
suite_musl() { foreign musl; }

begun=$(date +%s)
for s in $suites; do
    case $s in
    build | lint | unit | rfc | sim | clang | fuzz | net | vm | vm612 | demo | i386 | s390x | musl) ;;
    *)
        echo "test.sh: there is no suite $s" >&2
        exit 2
        ;;
    esac
    start=$(date +%s)
    [ ! -t 1 ] || printf '%-6s ...\r' "$s"
    report="$results/no report of $s"
    : >"$results/one"
    "suite_$s" >"$results/$s.log" 2>&1
    IFS='
' # one file a line
    python3 tools/count.py "$results/one" $report >"$results/$s.failed" || echo 0 1 0 >"$results/one"
    unset IFS
    cat "$results/$s.failed"
    [ ! -s "$results/$s.failed" ] || tail -n 15 "$results/$s.log" | sed 's/^/    /'
    cat "$results/one" >>"$results/counts"
    read -r passed failed skipped <"$results/one"
    printf '%-6s %5d ok %4d failed %3d skipped  %4d s\n' "$s" "$passed" "$failed" "$skipped" \
        $(($(date +%s) - start))
done

set -- $(awk '{ p += $1; f += $2; s += $3 } END { print p + 0, f + 0, s + 0 }' "$results/counts")
echo "All of it in $(($(date +%s) - begun)) s; the logs are in build/results."
echo "$1 passed, $2 failed, $3 skipped"
[ "$1" -gt 0 ] && [ "$2" = 0 ] && [ "$3" = 0 ]
