# What a process sees from inside a container. It needs a shell, id, ls, readlink and tr, nothing else.

say() {
	printf '  %-16s%s\n' "$1" "$2"
}

# status PID FIELD: the value of a field of /proc/PID/status.
status() {
	while read -r name value; do
		[ "$name" = "$2:" ] && echo "$value" && return
	done < "/proc/$1/status"
}

# capabilities MASK: the names of the bits in it.
capabilities() {
	bit=0 found=
	for name in chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable \
		net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot \
		sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease \
		audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read \
		perfmon bpf checkpoint_restore
	do
		[ $((0x$1 >> bit & 1)) = 1 ] && found="$found$name "
		bit=$((bit + 1))
	done
	echo "${found:-none}"
}

hostname() {
	read -r name < /proc/sys/kernel/hostname
	echo "$name"
}

# The path in the cgroup v2 hierarchy: the line "0::PATH".
cgroup() {
	while read -r line; do
		case $line in 0::*) echo "${line#0::}" ;; esac
	done < /proc/self/cgroup
}

interfaces() {
	while read -r name _; do
		case $name in *:*) echo "${name%%:*}" ;; esac
	done < /proc/net/dev
}

namespaces() {
	for kind in "$@"; do
		readlink "/proc/self/ns/$kind"
	done
}

writable() {
	if (: > "$1/probe") 2> /dev/null; then echo "can be written"; else echo "is read-only"; fi
}

# The mounts, but for those that only cover something up.
mounts() {
	covers=0
	while read -r _ target type options _; do
		case $target in
			/proc/* | /sys/firmware) covers=$((covers + 1)) ;;
			*) printf '    %-20s%-9s%s\n' "$target" "$type" "${options%%,*}" ;;
		esac
	done < /proc/mounts
	echo "    and $covers that cover up or protect parts of /proc and /sys"
}

# No pipe and no subshell around the list itself: they would be processes in it.
processes() {
	for directory in /proc/[0-9]*; do
		pid=${directory#/proc/}
		read -r name < "$directory/comm" && printf '    %-6s%s\n' "$pid" "$name"
	done
}

echo
echo "Hello from inside a container."
echo
say process "pid $$, parent $(status $$ PPid)"
say user "$(id)"
say capabilities "$(capabilities "$(status $$ CapEff)")"
say "new privileges" "$([ "$(status $$ NoNewPrivs)" = 1 ] && echo impossible || echo possible)"
say "host name" "$(hostname)"
say network "$(interfaces | tr '\n' ' ')"
say cgroup "$(cgroup)"
say devices "$(ls /dev | tr '\n' ' ')"
say files "/ $(writable /), /tmp $(writable /tmp)"
say namespaces "$(namespaces pid mnt net ipc | tr '\n' ' ')"
say "" "$(namespaces uts cgroup user | tr '\n' ' ')"
echo
echo "  Its mounts:"
mounts
echo
echo "  All the processes that it can see:"
processes
echo
