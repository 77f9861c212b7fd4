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
copy=$scratch/src
build=$scratch/build
jobs=$(nproc)
mkdir -p "$scratch"

# What git knows and what is new: the tree as it stands, without what was built.
refresh() {
    mkdir -p "$copy"
    (cd "$root" && { git ls-files -co --exclude-standard 2>/dev/null ||
        find . -path ./build -prune -o -type f -print; }) >"$scratch/files"
    # Compared by content, so that only what a patch changed is built again.
    (cd "$root" && while IFS= read -r file; do
        [ -f "$file" ] || continue
        cmp -s "$file" "$copy/$file" || { mkdir -p "$copy/$(dirname "$file")" &&
            cp "$file" "$copy/$file"; }
    done <"$scratch/files")
}

compile() { # compile LOG PATCH...: what these patches' tests need
    local log=$1 targets
    shift
    targets=$(for patch; do
        sed -n 's/^Builds: *//p' "$patch" | grep . || echo all
    done | tr ' ' '\n' | sort -u)
    # shellcheck disable=SC2086
    { cmake -S "$copy" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo &&
      cmake --build "$build" -j "$jobs" --target $targets; } >"$log" 2>&1
}

test_of() { # test_of PATCH: its command, ready to run
    sed -n 's/^Caught-by: *//p' "$1" | head -n 1 | sed "s#{binary}#$build/ochre#g"
}

run_test() { # run_test COMMAND LOG: 124 when there was not enough time to tell
    local status
    (cd "$build" && timeout 900 bash -c "$1") >"$2" 2>&1
    status=$?
    ! grep -q '\*\*\*Timeout' "$2" || status=124
    return $status
}

patches=("$@")
[ ${#patches[@]} -gt 0 ] || for patch in "$here"/*.patch; do
    [ -f "$patch" ] && patches+=("$patch")
done
if [ ${#patches[@]} -eq 0 ]; then
    echo 'mutation: no patches'
    exit 1
fi

refresh
compile "$scratch/build.log" "${patches[@]}" || { tail -n 20 "$scratch/build.log"; exit 1; }
failed=0
# Without a defect, everything that a patch relies on must hold; side by side.
for patch in "${patches[@]}"; do test_of "$patch"; done | sort -u >"$scratch/commands"
export -f run_test
export build scratch
# shellcheck disable=SC2016
if ! nl -w 1 -s ' ' "$scratch/commands" | xargs -d '\n' -P "$jobs" -n 1 bash -c '
        run_test "${1#* }" "$scratch/sound-${1%% *}.log" || {
            tail -n 20 "$scratch/sound-${1%% *}.log"
            echo "mutation: fails without any defect: ${1#* }"
            exit 1
        }' sound; then
    exit 1
fi

for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    log=$scratch/$name.log
    defect=$(sed -n 's/^Defect: *//p' "$patch" | head -n 1)
    command=$(test_of "$patch")
    start=$SECONDS
    if [ -z "$command" ] || [ -z "$defect" ]; then
        verdict='BROKEN: lacks Defect: or Caught-by:'
    elif ! patch -d "$copy" -p1 -s -f --dry-run <"$patch" >"$log" 2>&1; then
        verdict='BROKEN: does not apply'
    elif ! patch -d "$copy" -p1 -s -f --no-backup-if-mismatch <"$patch" >"$log" 2>&1 ||
            ! compile "$log" "$patch"; then
        verdict='BROKEN: does not build'
    else
        run_test "$command" "$log"
        case $? in
        0) verdict='NOT CAUGHT' ;;
        124) verdict='TIMED OUT' ;; # a slow machine catches nothing
        *) verdict=caught ;;
        esac
    fi
    [ "$verdict" = caught ] || failed=1
    printf '%-32s %-10s %3d s  %s\n' "$name" "$verdict" $((SECONDS - start)) "$defect"
    refresh
done
printf '%d defects planted, %s\n' ${#patches[@]} "$([ $failed = 0 ] && echo 'all caught' || echo 'NOT all caught')"
exit $failed
