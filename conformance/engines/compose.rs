//! Docker's Compose, and a swarm of one machine.

use crate::case::{Case, prints};

const COMPOSE: &[&str] = &["program docker-compose"];

pub(crate) const CASES: &[Case] = &[
    prints(
        "up_and_down",
        "mkdir -p /tmp/$N; cd /tmp/$N; printf 'services:\\n  web: {image: \"localhost/busybox\", command: sleep 60}\\n' > compose.yaml
         docker-compose -p $N up -d 2> /dev/null; docker-compose -p $N exec -T web echo inside; docker-compose -p $N down -t 0 2> /dev/null
         docker ps -a --filter name=$N --format '{{.Names}}'; rm -r /tmp/$N",
        "inside",
    )
    .needs(COMPOSE).quick(),
    prints(
        "scale",
        "mkdir -p /tmp/$N; cd /tmp/$N; printf 'services:\\n  web: {image: \"localhost/busybox\", command: sleep 60}\\n' > compose.yaml
         docker-compose -p $N up -d --scale web=3 2> /dev/null; docker ps --filter name=$N -q | wc -l
         docker-compose -p $N down -t 0 2> /dev/null; rm -r /tmp/$N",
        "3",
    )
    .needs(COMPOSE),
    prints(
        "services_reach_each_other",
        "mkdir -p /tmp/$N; cd /tmp/$N
         printf 'services:\\n  web: {image: \"localhost/busybox\", command: httpd -f -h /etc}\\n  ask: {image: \"localhost/busybox\", command: sleep 60}\\n' > compose.yaml
         docker-compose -p $N up -d 2> /dev/null; soon 'docker-compose -p $N exec -T ask wget -qO- http://web/group | grep root'
         docker-compose -p $N down -t 0 2> /dev/null; rm -r /tmp/$N",
        "root:x:0:",
    )
    .needs(COMPOSE),
    prints(
        "waits_for_health",
        "mkdir -p /tmp/$N; cd /tmp/$N
         printf 'services:\\n  web: {image: \"localhost/busybox\", command: sleep 60, healthcheck: {test: \"true\", interval: 500ms}}\\n' > compose.yaml
         printf '  ask: {image: \"localhost/busybox\", command: sleep 60, depends_on: {web: {condition: service_healthy}}}\\n' >> compose.yaml
         docker-compose -p $N up -d 2> /dev/null; docker inspect -f '{{.State.Health.Status}}' $N-web-1; docker-compose -p $N down -t 0 2> /dev/null; rm -r /tmp/$N",
        "healthy",
    )
    .needs(COMPOSE),
    prints(
        "limits",
        "mkdir -p /tmp/$N; cd /tmp/$N
         printf 'services:\\n  web: {image: \"localhost/busybox\", command: sleep 60, deploy: {resources: {limits: {memory: 64M, cpus: \"0.5\"}}}}\\n' > compose.yaml
         docker-compose -p $N up -d 2> /dev/null; docker-compose -p $N exec -T web cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max
         docker-compose -p $N down -t 0 2> /dev/null; rm -r /tmp/$N",
        "67108864\n50000 100000",
    )
    .needs(&["program docker-compose", "memory", "cpu"]),
    prints("down_leaves_nothing", "mkdir -p /tmp/$N; cd /tmp/$N; printf 'services:\\n  web: {image: \"localhost/busybox\", command: sleep 60, volumes: [\"data:/v\"]}\\nvolumes: {data: {}}\\n' > compose.yaml
         docker-compose -p $N up -d 2> /dev/null; docker-compose -p $N down -v -t 0 2> /dev/null; docker ps -a -q --filter name=$N; docker volume ls -q --filter name=$N; docker network ls -q --filter name=$N; rm -r /tmp/$N", "").needs(COMPOSE),
    // A swarm changes the whole daemon, so nothing else may use it meanwhile.
    prints("service", "swarm; docker service create --quiet --detach=false --stop-grace-period 1s --name $N --replicas 2 $I sleep 600 > /dev/null 2>&1; docker ps -q --filter name=$N | wc -l; no_swarm", "2").alone(),
    prints("service_scaled", "swarm; docker service create --quiet --detach=false --stop-grace-period 1s --name $N $I sleep 600 > /dev/null 2>&1; docker service scale --detach=false $N=3 > /dev/null; docker ps -q --filter name=$N | wc -l; no_swarm", "3").alone(),
    prints(
        "service_updated",
        "swarm; docker service create --quiet --detach=false --stop-grace-period 1s --name $N --replicas 2 -e A=old $I sleep 600 > /dev/null 2>&1
         docker service update --quiet --detach=false --update-monitor 1s --update-parallelism 1 --env-add A=new $N > /dev/null 2>&1
         for one in $(docker ps -q --filter name=$N); do docker exec $one sh -c 'echo $A'; done; no_swarm",
        "new\nnew",
    )
    .alone(),
    prints("service_restarted", "swarm; docker service create --quiet --detach=false --stop-grace-period 1s --restart-delay 0s --name $N $I sleep 600 > /dev/null 2>&1; one=$(docker ps -q --filter name=$N); docker kill $one > /dev/null
         soon 'docker ps -q --filter name=$N | grep -v '$one > /dev/null; docker exec $(docker ps -q --filter name=$N) echo another; no_swarm", "another").alone(),
];
