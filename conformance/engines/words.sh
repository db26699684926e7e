# What the scripts of cases may use. It goes in front of each.

# Waits until a command succeeds: 30 s, and longer on a machine on which everything is slow.
soon() {
    tries=0
    until eval "$1"; do
        tries=$((tries + 1))
        [ "$tries" -lt $((300 * PATIENCE)) ] || { echo "not in time: $1" >&2; return 1; }
        sleep 0.1
    done
}

# Makes a pod of that config, $p. A second word is put behind its name.
pod() {
    p=$(cri runp "$N${2-}" "$HANDLER" "${1:-"{}"}")
}

# Starts a container of that config in it, $c, which sleeps.
up() {
    c=$(cri run "$p" "${2:-c}" "${1:-"{}"}" sleep 600)
}

# What a container of that config prints when it runs a script.
says() {
    c=$(cri run "$p" said "$1" sh -c "$2")
    soon "cri state $c | grep -q EXITED"
    cut -d ' ' -f 4- "/var/log/pods/$N/said.log"
}

# A config with that security context, and one with those resources.
security() {
    echo "{\"linux\": {\"security_context\": {$1}}}"
}
resources() {
    echo "{\"linux\": {\"resources\": {$1}}}"
}

# Makes this machine a swarm of its own, and ends that with all its services.
swarm() {
    docker swarm init --advertise-addr 127.0.0.1 > /dev/null
}
no_swarm() {
    docker service ls -q | xargs -r docker service rm > /dev/null
    soon '[ -z "$(docker ps -q --filter label=com.docker.swarm.service.name)" ]'
    docker swarm leave --force > /dev/null
    soon 'docker network rm docker_gwbridge > /dev/null 2>&1'
}
