//! How the machine's engines are set up: with the files of `contrib/`, as somebody would install them, and an image of busybox.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::in_place_of;
use crate::machine::{Machine, as_user};

/// The image of all cases.
pub(crate) const IMAGE: &str = "localhost/busybox:latest";

/// What containerd 1.7 takes for a pod's first container, unless its configuration says otherwise.
const PAUSE: &str = "registry.k8s.io/pause:3.8";

const CONTAINERD: &str = include_str!("../../contrib/containerd/config.toml");
const DOCKER: &str = include_str!("../../contrib/docker/daemon.json");
const PODMAN: &str = include_str!("../../contrib/podman/containers.conf");
const RUNTIME_CLASS: &str = include_str!("../../contrib/kubernetes/runtimeclass.yaml");

/// Handlers beside the one that is offered to users: without systemd, and with hooks in each container.
const MORE_HANDLERS: &str = r#"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.orlop-cgroupfs]
  runtime_type = "io.containerd.runc.v2"
  options = { BinaryName = "/usr/local/sbin/orlop" }
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.orlop-hooks]
  runtime_type = "io.containerd.runc.v2"
  base_runtime_spec = "/etc/containerd/hooks.json"
  options = { BinaryName = "/usr/local/sbin/orlop", SystemdCgroup = true }
"#;

const POD_NETWORK: &str = r#"{
  "cniVersion": "1.0.0", "name": "pods",
  "plugins": [{"type": "bridge", "bridge": "pods0", "isGateway": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.79.0.0/16"}]]}}]
}"#;

/// What the applets of the image's busybox are called.
const APPLETS: &str = "sh ls cat echo true false sleep id ps mount touch env hostname kill grep head tail ip wget nc httpd stat pwd \
                       test mkdir rm sync dd stty tty wc df printf date trap cut sed sort tr seq readlink chmod chown nproc ping nslookup ipcs";

/// What the kubelet names as the runtime handler of a pod of that class.
pub(crate) fn handler() -> &'static str {
    RUNTIME_CLASS.lines().find_map(|line| line.strip_prefix("handler: ")).expect("the manifest names a handler")
}

/// Configures and starts the engines.
pub(crate) fn engines(machine: &Machine) -> io::Result<()> {
    runtime(machine)?;
    configurations(machine)?;
    networks(machine)?;
    image(machine)?;
    hooks(machine)?;
    machine.must("systemctl start containerd docker")?;
    machine.must("docker import /run/engines-image.tar localhost/busybox:latest")?;
    machine.must("podman import /run/engines-image.tar localhost/busybox:latest")?;
    machine
        .must("docker save localhost/busybox:latest > /run/engines-oci.tar && ctr image import /run/engines-oci.tar")?;
    pods(machine)?;
    user(machine)
}

/// The runtime, where the files of `contrib/` say that it is.
fn runtime(machine: &Machine) -> io::Result<()> {
    let suite = std::env::current_exe()?;
    let script = in_place_of::script(&suite, &machine.runtime);
    // Some engines take the first runc that they find, whatever they are told.
    for path in ["/usr/local/sbin/orlop", "/usr/local/sbin/runc"] {
        write(path, &script)?;
        fs::set_permissions(path, Permissions::from_mode(0o755))?;
    }
    File::create(in_place_of::CALLS)?.set_permissions(Permissions::from_mode(0o666))
}

fn configurations(machine: &Machine) -> io::Result<()> {
    write("/etc/containerd/config.toml", &format!("{CONTAINERD}{MORE_HANDLERS}"))?;
    write("/etc/docker/daemon.json", DOCKER)?;
    write("/etc/containers/containers.conf.d/orlop.conf", PODMAN)?;
    // Without the controller Podman's default limit would be refused. There is no journal that everybody may write to.
    let limit = if machine.has("pids") { "" } else { "pids_limit = -1\n" };
    write(
        "/etc/containers/containers.conf.d/machine.conf",
        &format!("[containers]\n{limit}[engine]\nevents_logger = \"file\"\n"),
    )?;
    write(
        "/etc/containers/storage.conf",
        "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/containers/storage\"\ngraphroot = \"/var/lib/containers/storage\"\n",
    )?;
    write("/etc/containers/policy.json", r#"{"default": [{"type": "insecureAcceptAnything"}]}"#)
}

/// A way out for engines that give up where there is none, and a network for pods.
fn networks(machine: &Machine) -> io::Result<()> {
    machine.must(
        "ip route | grep -q ^default || { ip link add out0 type veth peer name out1; ip link set out1 up; ip addr add 192.0.2.2/24 dev out0; ip link set out0 up; \
         ip route add default via 192.0.2.1; }; mkdir -p /opt/cni; ln -sfn /usr/lib/cni /opt/cni/bin",
    )?;
    write("/etc/cni/net.d/10-pods.conflist", POD_NETWORK)
}

fn image(machine: &Machine) -> io::Result<()> {
    let dir = "/run/engines-image";
    machine.must(&format!(
        "mkdir -p {dir}/bin {dir}/etc {dir}/tmp {dir}/root {dir}/var && chmod 1777 {dir}/tmp && cp /usr/bin/busybox {dir}/bin/ && \
         for applet in {APPLETS}; do ln -sf busybox {dir}/bin/$applet; done"
    ))?;
    write(&format!("{dir}/etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n")?;
    write(&format!("{dir}/etc/group"), "root:x:0:\nuser:x:1000:\nother:x:1001:user\n")?;
    machine.must(&format!("tar -C {dir} -cf /run/engines-image.tar ."))
}

/// The specification that the handler with hooks begins from.
fn hooks(machine: &Machine) -> io::Result<()> {
    machine.must("ctr oci spec > /run/engines-spec.json")?;
    let mut spec: Value = serde_json::from_slice(&fs::read("/run/engines-spec.json")?)?;
    let hook = |kind: &str| json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("cat > /run/hooks-{kind}")]}]);
    spec["hooks"] = json!({"createRuntime": hook("createRuntime"), "poststop": hook("poststop")});
    write("/etc/containerd/hooks.json", &spec.to_string())
}

/// What containerd's CRI plugin needs: its images, one of which does nothing, and who asks it for pods.
fn pods(machine: &Machine) -> io::Result<()> {
    machine.must(&format!(
        "docker import --change 'CMD [\"/bin/sleep\", \"1000000\"]' /run/engines-image.tar {PAUSE} && \
         docker save {IMAGE} {PAUSE} | ctr -n k8s.io image import - && docker rmi {PAUSE}"
    ))?;
    let client = std::env::current_exe()?.with_file_name("cri");
    machine.must(&format!("ln -sf {} /usr/local/bin/cri", client.display()))
}

/// Somebody without rights, with a session of systemd's and granted ids.
fn user(machine: &Machine) -> io::Result<()> {
    machine.must(
        "id boatswain > /dev/null 2>&1 || { useradd --create-home --shell /bin/sh boatswain; \
         echo boatswain:200000:65536 > /etc/subuid; cp /etc/subuid /etc/subgid; \
         echo containers:400000:1000000 >> /etc/subuid; cp /etc/subuid /etc/subgid; }; \
         systemctl start user@$(id -u boatswain).service; chmod 644 /run/engines-image.tar",
    )?;
    let home = "/home/boatswain/.config/containers";
    write(&format!("{home}/storage.conf"), "[storage]\ndriver = \"overlay\"\n")?;
    machine.must("chown -R boatswain:boatswain /home/boatswain")?;
    machine.must(&as_user("podman import /run/engines-image.tar localhost/busybox:latest"))
}

fn write(path: &str, text: &str) -> io::Result<()> {
    if let Some(parent) = Path::new(path).parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}
