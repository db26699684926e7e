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
    .needs(COMPOSE),
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
         docker-compose -p $N up -d 2> /dev/null; sleep 0.5; docker-compose -p $N exec -T ask wget -qO- http://web/group | head -n 1
         docker-compose -p $N down -t 0 2> /dev/null; rm -r /tmp/$N",
        "root:x:0:",
    )
    .needs(COMPOSE),
];
