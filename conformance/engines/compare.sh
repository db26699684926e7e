#!/bin/sh
# conformance/engines/compare.sh [FILTER...] > docs/engines.md
#
# Runs the cases on this host with Orlop (built for release), with Debian's runc and with its crun, one after the other, and prints what
# became of each and how long it took, as a page of Markdown. A case that a peer fails too is the engine's own, or a wrong expectation.
# ORLOP_ENGINES_KEPT is a directory for what they said; what is there already is not run again. ORLOP_ENGINES_RUNTIMES names some of the
# three.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
work=${ORLOP_ENGINES_KEPT-}
if [ -z "$work" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi

release=$(cargo build --quiet --release --message-format=json | sed -n 's/.*"executable":"\([^"]*\/orlop\)".*/\1/p')
runtimes=${ORLOP_ENGINES_RUNTIMES:-orlop runc crun}
for name in $runtimes; do
    case $name in
    orlop) runtime=$release ;;
    runc) runtime=guest:/usr/sbin/runc ;;
    crun) runtime=guest:/usr/bin/crun ;;
    *) echo "compare: $name is none of orlop, runc, crun" >&2; exit 1 ;;
    esac
    [ ! -s "$work/$name" ] || continue
    echo "compare: $name" >&2
    # A case that fails is told in the table.
    ORLOP_ENGINES_RESULTS=$work/$name "$here/run.sh" --runtime "$runtime" "$@" >&2 || true
    [ -s "$work/$name" ] || { echo "compare: $name: nothing ran" >&2; exit 1; }
done

image=$(integration/vm/image.sh)
version() {
    sed -n "/^Package: $1\$/,/^\$/s/^Version: //p" "$image/guest/var/lib/dpkg/status"
}
# `orlop version 0.1.0, runc version 1.1.15`
said() {
    for name in $runtimes; do
        sed -n 's/^the runtime was called [0-9]* times: //p' "$work/$name"
    done | paste -s -d , | sed 's/,/, /g'
}
cat << PAGE
# Under real engines

What users of containerd, its interface for Kubernetes (CRI), Docker, Compose, Podman, Buildah and a swarm of one machine do, each as a
case with one expectation: [conformance/engines/](../conformance/engines/). The engines are Debian 13's, configured with the files of
[contrib/](../contrib/). At the end no process, mount, cgroup, scope or state directory of a container may be left.

What needs a cgroup controller or AppArmor is not in the table: it runs in the virtual machine (\`make engines\`), where everything
is emulated and times say nothing.

## What is the engines' own

| whatever the runtime | so |
|---|---|
| containerd 1.7 has no \`runc\` handler any more once another one is named, and then no CRI plugin | [contrib/containerd/config.toml](../contrib/containerd/config.toml) names both |
| containerd 1.7 runs the \`runc\` in \`PATH\` for user namespaces and for \`ctr run --no-pivot\`, whatever it was told | in the cases that is the runtime under test, too |
| containerd's streaming server hangs up a terminal that has no standard input | the client of the cases keeps one open |
| Buildah gives the steps of a build no AppArmor profile | there is no case that expects one |

## The cases

This part was made by \`conformance/engines/compare.sh\` on $(date -u +%Y-%m-%d): Linux $(uname -r | sed 's/-.*//'), $(nproc) cores, containerd $(version containerd),
Docker $(version docker.io), Compose $(version docker-compose), Podman $(version podman), Buildah $(version buildah); $(said), the first
from the tree at $(git describe --always). Times are seconds for a case's whole script, most of which is the engine's, and
waiting; one run each, two cases at a time, so small differences say nothing. An empty cell was not run.

PAGE
awk -v runtimes="$runtimes" -v work="$work" '
BEGIN {
    count = split(runtimes, names, " ")
    for (n = 1; n <= count; n++) {
        file = work "/" names[n]
        while ((getline line < file) > 0) {
            fields = split(line, field, " ")
            if (field[1] == "time") { time[names[n], field[2]] = field[3]; ran[field[2]]++; cases[n]++ }
            if (field[1] == "test" && field[fields] == "FAILED") { failed[names[n], field[fields - 2]] = 1; bad[n]++ }
        }
    }
    for (name in ran) if (ran[name] == count) { all++; for (n = 1; n <= count; n++) sum[n] += time[names[n], name] }
    printf "|"; for (n = 1; n <= count; n++) printf " | %s", names[n]; print " |"
    line = "|---"; for (n = 1; n <= count; n++) line = line "|---"
    print line "|"
    printf "| cases"; for (n = 1; n <= count; n++) printf " | %d", cases[n]; print " |"
    printf "| failed"; for (n = 1; n <= count; n++) printf " | %d", bad[n]; print " |"
    printf "| seconds, for the %d that all ran", all; for (n = 1; n <= count; n++) printf " | %.1f", sum[n]; print " |"
    print ""
    printf "| case"; for (n = 1; n <= count; n++) printf " | %s", names[n]; print " |"
    print line "|"
    sorter = "sort"
    for (name in ran) {
        row = "| `" name "`"
        for (n = 1; n <= count; n++) row = row " | " time[names[n], name] ((names[n], name) in failed ? " failed" : "")
        print row " |" | sorter
    }
    close(sorter)
}'
