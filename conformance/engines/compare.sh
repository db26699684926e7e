#!/bin/sh
# conformance/engines/compare.sh [FILTER] > docs/engines.md
#
# Runs the cases on this host with Orlop (built for release), with Debian's runc and with its crun, one after the other, and prints what
# became of each and how long it took, as a page of Markdown. A case that a peer fails too is the engine's own, or a wrong expectation.
# With ORLOP_ENGINES_VM=1 those that the host can't run follow in the virtual machine. ORLOP_ENGINES_KEPT is a directory for what they
# said; what is there already is not run again, and its date and tree are told. ORLOP_ENGINES_RUNTIMES names some of the three.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
work=${ORLOP_ENGINES_KEPT-}
if [ -z "$work" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
mkdir -p "$work"

release=$(cargo build --quiet --release --message-format=json | sed -n 's/.*"executable":"\([^"]*\/orlop\)".*/\1/p')
runtimes=${ORLOP_ENGINES_RUNTIMES:-orlop runc crun}
tree=$(git describe --always --dirty)
# A case that fails is told in the table; only a suite that did not come to its end stops this.
keep() {
    if ! grep -q '^test result:' "$work/new" 2> /dev/null; then
        echo "compare: $1: the suite did not come to its end" >&2
        exit 1
    fi
    echo "compare: $(date -u +%Y-%m-%d) $tree" >> "$work/new"
    mv "$work/new" "$work/$1"
}
for name in $runtimes; do
    case $name in
    orlop) runtime=$release ;;
    runc) runtime=guest:/usr/sbin/runc ;;
    crun) runtime=guest:/usr/bin/crun ;;
    *) echo "compare: $name is none of orlop, runc, crun" >&2; exit 1 ;;
    esac
    rm -f "$work/new"
    if [ ! -s "$work/$name" ]; then
        echo "compare: $name" >&2
        ORLOP_ENGINES_RESULTS=$work/new "$here/run.sh" --runtime "$runtime" "$@" >&2 || true
        keep "$name"
    fi
    if [ -n "${ORLOP_ENGINES_VM-}" ] && [ ! -s "$work/$name.machine" ]; then
        sed -n 's/^test \(\[.*\] *\)\{0,1\}\([a-z_]*::[a-z_]*\) *\.\.\. ignored.*/\2/p' "$work/$name" > "$work/only"
        [ -s "$work/only" ] || continue
        echo "compare: $name in the virtual machine" >&2
        ORLOP_ENGINES_ONLY=$work/only ORLOP_VM_RESULTS=$work/new "$here/run.sh" --vm --runtime "$runtime" "$@" >&2 || true
        keep "$name.machine"
    fi
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
# `2026-11-28 from the tree at 1234567`, of all results with that ending
when() {
    for name in $runtimes; do
        sed -n 's/^compare: \([^ ]*\) \(.*\)/\1 from the tree at \2/p' "$work/$name$1"
    done | sort -u | paste -s -d , | sed 's/,/, and on /g'
}
# What the tables of this page begin with: it reads the results of one kind.
reads='
function one(n, ending,    file, line, field, fields, name) {
    file = work "/" names[n] ending
    name = ""
    while ((getline line < file) > 0) {
        fields = split(line, field, " ")
        if (field[1] == "time") { time[n, field[2]] = field[3] }
        if (field[1] == "test" && field[fields] == "FAILED") { failed[n, field[fields - 2]] = 1; bad[n]++ }
        if (field[1] == "test" && (field[fields] == "FAILED" || field[fields] == "ok")) { ran[field[fields - 2]]++; cases[n]++ }
        if (field[1] == "left" && field[2] == "behind:") { left[n] = left[n] (left[n] == "" ? "" : ", ") substr(line, 14) }
        # "---- docker::run ----", what was expected, the script, and what came instead.
        if (field[1] == "----" && field[3] == "----") { name = field[2]; continue }
        if (line == "failures:" || field[1] == "test") name = ""
        if (name == "" || line == "") continue
        if (field[1] == "expected" && !((n, name) in wanted)) { wanted[n, name] = substr(line, 10) }
        if (field[1] == "exit" && fields == 2) { instead[n, name] = "exit code " field[2] }
        sub(/^std(out|err): /, "", line)
        if ((n, name) in instead && line !~ /^ *$|^exit [0-9]+$/) last[n, name] = line
    }
    close(file)
}
function cell(text) {
    gsub(/`/, "\047", text); gsub(/\|/, "\\|", text); gsub(/</, "\\&lt;", text)
    return length(text) > 220 ? substr(text, 1, 100) " … " substr(text, length(text) - 110) : text
}
function header(first,    n) {
    printf "| %s", first; for (n = 1; n <= count; n++) printf " | %s", names[n]; print " |"
    printf "|---"; for (n = 1; n <= count; n++) printf "|---"; print "|"
}
# Each case that a runtime failed: why, from the notes, or else what came instead.
function failures(kind,    n, name, key, line, at, sorter) {
    while ((getline line < notes) > 0) {
        if (line ~ /^(#|$)/) continue
        at = index(line, ": "); note[substr(line, 1, at - 1)] = substr(line, at + 2)
    }
    close(notes)
    sorter = "sort"
    for (key in failed) {
        split(key, part, SUBSEP); n = part[1]; name = part[2]
        line = names[n] " " name
        text = line in note ? note[line] : cell("expected " wanted[key] "; instead " instead[key] (key in last ? ", " last[key] : ""))
        print "| `" name "` | " names[n] " | " text " |" | sorter
    }
    close(sorter)
}
function leftovers(    n) {
    for (n = 1; n <= count; n++) if (left[n] != "") print "Left behind by " names[n] ": " cell(left[n]) ".\n"
}
BEGIN { count = split(runtimes, names, " "); for (n = 1; n <= count; n++) one(n, ending) }'
cat << PAGE
# Under real engines

What users of containerd, its interface for Kubernetes (CRI), Docker, Compose, Podman, Buildah and a swarm of one machine do, each as a
case with one expectation: [conformance/engines/](../conformance/engines/). The engines are Debian 13's, configured with the files of
[contrib/](../contrib/). At the end no process, mount, cgroup, scope or state directory of a container may be left.

## What is the engines' own

| whatever the runtime | so |
|---|---|
| containerd 1.7 has no \`runc\` handler any more once another one is named, and then no CRI plugin | [contrib/containerd/config.toml](../contrib/containerd/config.toml) names both |
| containerd 1.7 runs the \`runc\` in \`PATH\` for user namespaces and for \`ctr run --no-pivot\`, whatever it was told | in the cases that is the runtime under test, too |
| containerd's streaming server hangs up a terminal that has no standard input | the client of the cases keeps one open |
| containerd 1.7.24's shim panics when a restored process has ended before it is asked for its cgroup (\`ttrpc: closed\`; [mended later](https://github.com/containerd/containerd/pull/11069)), as \`sleep 60\` has: CRIU has the call that a checkpoint interrupts fail | \`containerd::restore\` has a loop restored |
| Podman with \`--cgroup-manager cgroupfs\` makes the cgroup of a pod itself, before it calls anything, and fails where systemd gives its \`libpod_parent\` fewer controllers than there are (\`enabling controller hugetlb\`) | there is no case of a pod with that manager |
| Podman makes checkpoints only for root, and says so | \`podman_rootless::checkpoint_is_roots\` |
| the kernel maps the ids of a mount only for whoever is root where its file system was made, so that \`idmap\` of rootless Podman's volumes fails | \`podman_rootless::mapped_ids_of_a_volume_are_roots\` |
| Buildah gives the steps of a build no AppArmor profile | there is no case that expects one |

## The cases on this host

This part and the following ones were made by \`conformance/engines/compare.sh\`: Linux $(uname -r | sed 's/-.*//'), $(nproc) cores, containerd $(version containerd),
Docker $(version docker.io), Compose $(version docker-compose), Podman $(version podman), Buildah $(version buildah); $(said);
run on $(when ""). Times are seconds for a case's whole script, most of which is the engine's, and
waiting; one run each, two cases at a time, so small differences say nothing. An empty cell was not run.

PAGE
# All of one kind: `report ENDING WITH-TIMES`
report() {
    awk -v runtimes="$runtimes" -v work="$work" -v notes="$here/peers.txt" -v ending="$1" -v times="$2" "$reads"'
END {
    for (name in ran) if (ran[name] == count) { all++; for (n = 1; n <= count; n++) sum[n] += time[n, name] }
    header("")
    printf "| cases"; for (n = 1; n <= count; n++) printf " | %d", cases[n]; print " |"
    printf "| failed"; for (n = 1; n <= count; n++) printf " | %d", bad[n]; print " |"
    if (times) { printf "| seconds, for the %d that all ran", all; for (n = 1; n <= count; n++) printf " | %.1f", sum[n]; print " |" }
    print ""
    leftovers()
    total = 0; for (key in failed) total++
    if (total) { print "| failed | by | why |"; print "|---|---|---|"; failures(); print "" }
    header("case")
    sorter = "sort"
    for (name in ran) {
        row = "| `" name "`"
        for (n = 1; n <= count; n++) {
            failing = (n, name) in failed
            if (times) row = row " | " time[n, name] (failing ? " failed" : "")
            else row = row " | " (failing ? "failed" : (n, name) in time ? "passed" : "")
        }
        print row " |" | sorter
    }
    close(sorter)
}' < /dev/null
}
report "" 1
for name in $runtimes; do
    if [ ! -s "$work/$name.machine" ]; then
        echo
        echo "What needs a cgroup controller or AppArmor runs in the virtual machine: \`make engines\`."
        exit
    fi
done
cat << PAGE

## The cases in the virtual machine

What needs a cgroup controller, AppArmor or CRIU, on Linux $(sed -n 's/^lane: start Linux \([0-9.]*\).*/\1/p' "$work/${runtimes%% *}.machine"), all of it emulated, so that times say nothing; run
on $(when .machine).

PAGE
report .machine 0
