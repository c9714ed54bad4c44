#!/bin/sh
# Run the fuzz targets, then measure how much of the sources they drive their corpora reach.
#
#   tools/fuzz.sh [TARGET...]
#
#   FUZZ_SECONDS=20   time a target
#   FUZZ_JOBS=2       targets at once
#   FUZZ_RUNS=        so many inputs a target, always the same ones for the same code, within the time
#   FUZZ_MERGE=1      add what was found to tests/fuzz/corpus (only inputs that reach new lines)
#
# What was found stays in build/fuzz-found/<target>, a crash in build/fuzz-found/<target>-crash-*.
# Prints one TAP line a run and one a measurement; fails when one fails.
set -eu
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-20}
jobs=${FUZZ_JOBS:-2}
runs=${FUZZ_RUNS:-}
least=85
found=$PWD/build/fuzz-found
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
mkdir -p "$found"
export LLVM_PROFILE_FILE="$found/other.raw" # what is run besides writes no file into the tree

setup() { # directory, options...: configure, or bring up to date what is there
    dir=$1
    shift
    if [ -f "$dir/build.ninja" ]; then
        meson configure "$dir" "$@" >/dev/null
    else
        rm -rf "$dir"
        CC=clang meson setup "$dir" "$@" >"$found/setup.log" 2>&1 || { cat "$found/setup.log"; exit 1; }
    fi
}

all=$(ls tests/fuzz/*.c | sed 's|.*/||; s|\.c$||' | grep -vx replay)
targets=${*:-$all}

setup build/fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1
setup build/fuzz-cover -Doptimization=0 \
    -Dc_args='-fprofile-instr-generate -fcoverage-mapping' -Dc_link_args=-fprofile-instr-generate
ninja -C build/fuzz $(for t in $targets; do echo "tests/fuzz/fuzz_$t"; done) >"$found/build.log" 2>&1 ||
    { cat "$found/build.log"; exit 1; }
ninja -C build/fuzz-cover $(for t in $targets; do echo "tests/fuzz/replay_$t"; done) \
    >"$found/build.log" 2>&1 || { cat "$found/build.log"; exit 1; }

run_one() { # target: fuzz it, then measure the corpus of the repository
    t=$1
    corpus=tests/fuzz/corpus/$t
    limit=-max_total_time=$seconds
    if [ -n "$runs" ]; then # the same verdict every time: nothing of former runs, no clock
        rm -rf "${found:?}/$t"
        limit="$limit -runs=$runs -seed=1"
    fi
    mkdir -p "$found/$t"
    began=$(date +%s)
    # shellcheck disable=SC2086 # limit is one or two options
    if build/fuzz/tests/fuzz/fuzz_"$t" $limit -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$found/$t-" "$found/$t" "$corpus" \
        >"$found/$t.log" 2>&1; then
        done=$(sed -n 's/^stat::number_of_executed_units: *//p' "$found/$t.log")
        echo "ok - fuzz $t: $done runs in $(($(date +%s) - began)) s"
    else
        echo "not ok - fuzz $t"
        tail -n 40 "$found/$t.log" | sed 's/^/# /'
        status=1
    fi
    if [ "${FUZZ_MERGE:-0}" = 1 ]; then
        build/fuzz/tests/fuzz/fuzz_"$t" -merge=1 "$corpus" "$found/$t" >>"$found/$t.log" 2>&1
    fi
    LLVM_PROFILE_FILE=$found/$t.raw build/fuzz-cover/tests/fuzz/replay_"$t" "$corpus" \
        >"$found/$t-replay.log" 2>&1 || { sed 's/^/# /' "$found/$t-replay.log"; status=1; }
    llvm-profdata merge -sparse "$found/$t.raw" -o "$found/$t.prof"
    llvm-cov export -summary-only -instr-profile="$found/$t.prof" \
        build/fuzz-cover/tests/fuzz/replay_"$t" >"$found/$t.json" 2>"$found/$t-cov.log" ||
        { sed 's/^/# /' "$found/$t-cov.log"; status=1; }
    python3 tools/fuzz_cover.py "$t" "$least" "$found/$t.json" || status=1
    return $status
}

# The targets of each of the jobs, run side by side; their lines are put together at the end.
i=0
for t in $targets; do
    lane=$((i % jobs))
    eval "lane_$lane=\"\${lane_$lane:-} $t\""
    i=$((i + 1))
done
pids=
lane=0
while [ "$lane" -lt "$jobs" ]; do
    eval "mine=\${lane_$lane:-}"
    (
        status=0
        for t in $mine; do
            run_one "$t" || status=1
        done
        exit $status
    ) >"$found/lane-$lane.out" 2>&1 &
    pids="$pids $!"
    lane=$((lane + 1))
done
status=0
lane=0
for pid in $pids; do
    wait "$pid" || status=1
    cat "$found/lane-$lane.out"
    lane=$((lane + 1))
done
echo "1..$((2 * i))"
exit $status
