#!/bin/bash
# run.sh [PATCH...] - each planted defect must make its test fail.
#
# A test that cannot fail proves nothing.  Every patch in this directory plants
# one defect in a scratch copy of the sources, and names in its first lines what
# must notice it:
#
#   Defect: what is wrong now
#   Builds: ochre
#   Caught-by: ctest -L sweep
#
# The command runs in the build directory of the copy, after the targets that
# Builds names (all, without such a line); {binary} in it is the server.  A patch that no longer applies, does not build or is not
# caught is a failure, and so is a copy without a patch whose tests fail.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
scratch=$root/build/mutation
jobs=$(nproc)
mkdir -p "$scratch"

# Each worker has a copy of the sources and a build of its own: $copy and $build.
at_slot() {
    copy=$scratch/$1/src
    build=$scratch/$1/build
}

# What git knows and what is new: the tree as it stands, without what was built.  Compared by
# content, so that only what a patch changed is built again.
sums() { # sums DIRECTORY
    (cd "$1" && xargs -d '\n' cksum <"$scratch/files" 2>/dev/null | sort)
}

refresh() {
    mkdir -p "$copy"
    comm -13 <(sums "$copy") "$scratch/sums" | cut -d ' ' -f 3- | while IFS= read -r file; do
        mkdir -p "$copy/$(dirname "$file")" && cp "$root/$file" "$copy/$file"
    done
}

compile() { # compile LOG JOBS PATCH...: what these patches' tests need
    local log=$1 threads=$2 targets
    shift 2
    targets=$(for patch; do
        sed -n 's/^Builds: *//p' "$patch" | grep . || echo all
    done | tr ' ' '\n' | sort -u)
    # shellcheck disable=SC2086
    { { [ -f "$build/build.ninja" ] ||
        cmake -S "$copy" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo; } &&
      cmake --build "$build" -j "$threads" --target $targets; } >"$log" 2>&1
}

test_of() { # test_of PATCH: its command, ready to run
    sed -n 's/^Caught-by: *//p' "$1" | head -n 1
}

run_test() { # run_test COMMAND LOG: 124 when there was not enough time to tell
    local status
    (cd "$build" && timeout 900 bash -c "${1//\{binary\}/$build/ochre}") >"$2" 2>&1
    status=$?
    ! grep -q '\*\*\*Timeout' "$2" || status=124
    return $status
}

sound() { # sound COMMAND: passes where nothing is planted
    local log
    log=$scratch/sound-$(echo "$1" | cksum | cut -d ' ' -f 1).log
    at_slot 0
    run_test "$1" "$log" && return
    tail -n 20 "$log"
    echo "mutation: fails without any defect: $1"
    return 1
}

plant() { # plant PATCH: in this worker's copy; fails unless its test notices
    local name log defect command verdict start=$SECONDS
    at_slot "$slot"
    name=$(basename "$1" .patch)
    log=$scratch/$name.log
    defect=$(sed -n 's/^Defect: *//p' "$1" | head -n 1)
    command=$(test_of "$1")
    refresh
    if [ -z "$command" ] || [ -z "$defect" ]; then
        verdict='BROKEN: lacks Defect: or Caught-by:'
    elif ! patch -d "$copy" -p1 -s -f --dry-run <"$1" >"$log" 2>&1; then
        verdict='BROKEN: does not apply'
    elif ! patch -d "$copy" -p1 -s -f --no-backup-if-mismatch <"$1" >"$log" 2>&1 ||
            ! compile "$log" 1 "$1"; then
        verdict='BROKEN: does not build'
    else
        run_test "$command" "$log"
        case $? in
        0) verdict='NOT CAUGHT' ;;
        124) verdict='TIMED OUT' ;; # a slow machine catches nothing
        *) verdict=caught ;;
        esac
    fi
    printf '%-32s %-10s %3d s  %s\n' "$name" "$verdict" $((SECONDS - start)) "$defect"
    [ "$verdict" = caught ]
}

patches=("$@")
[ ${#patches[@]} -gt 0 ] || for patch in "$here"/*.patch; do
    [ -f "$patch" ] && patches+=("$(realpath "$patch")")
done
if [ ${#patches[@]} -eq 0 ]; then
    echo 'mutation: no patches'
    exit 1
fi

(cd "$root" && { git ls-files -co --exclude-standard 2>/dev/null ||
    find . -path ./build -prune -o -type f -print; }) >"$scratch/files"
sums "$root" >"$scratch/sums"
at_slot 0
refresh
compile "$scratch/build.log" "$jobs" "${patches[@]}" || { tail -n 20 "$scratch/build.log"; exit 1; }

# Without a defect, everything that a patch relies on must hold.  Then the defects, by as many
# workers as there are processors.
export -f at_slot sums refresh compile test_of run_test sound plant
export root scratch
each() { # each FUNCTION: with each line of the input
    xargs -d '\n' -P "$jobs" -n 1 --process-slot-var=slot bash -c "$1"' "$1"' "$1"
}
for patch in "${patches[@]}"; do test_of "$patch"; done | sort -u | each sound || exit 1
if printf '%s\n' "${patches[@]}" | each plant; then verdict='all caught'; else verdict='NOT all caught'; fi
printf '%d defects planted, %s\n' ${#patches[@]} "$verdict"
[ "$verdict" = 'all caught' ]
