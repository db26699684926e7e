//! Asks containerd for what a kubelet asks of it.
//!
//!     cri runp NAME HANDLER JSON             a pod; prints its id
//!     cri create POD NAME JSON WORD...       a container in it, with that command; prints its id
//!     cri start | rm | stopp | rmp ID
//!     cri run POD NAME JSON WORD...          create and start
//!     cri stop ID SECONDS
//!     cri exec SECONDS ID WORD...            waits, and ends with the exit code
//!     cri stream [-i] [-t] ID WORD...        the same over the streaming server
//!     cri attach ID
//!     cri state | stats | ip | handler ID
//!     cri update ID JSON
//!     cri pods PREFIX                        the ids of pods whose names begin so
//!
//! JSON is a `PodSandboxConfig`, `ContainerConfig` or `LinuxContainerResources`, laid over what this fills in by itself.

mod messages;
mod stream;

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use http::uri::PathAndQuery;
use prost::Message;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tonic::transport::{Channel, Endpoint};

use messages as m;

const SOCKET: &str = "unix:///run/containerd/containerd.sock";

/// Where pods' configs are kept: who makes a container has to send its pod's again.
const PODS: &str = "/run/cri-pods";

const IMAGE: &str = "localhost/busybox:latest";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match Client::connect().and_then(|client| client.command(&words)) {
        Ok(code) => u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(why) => {
            eprintln!("cri: {why}");
            ExitCode::FAILURE
        }
    }
}

struct Client {
    runtime: tokio::runtime::Runtime,
    channel: Channel,
}

impl Client {
    fn connect() -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let channel = runtime.block_on(Endpoint::from_static(SOCKET).connect());
        let channel = channel.map_err(|error| format!("{SOCKET}: {error:?}"))?;
        Ok(Self { runtime, channel })
    }

    /// Makes a call of the runtime service.
    fn call<Q, A>(&self, method: &str, request: Q) -> Result<A, String>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let path = PathAndQuery::try_from(format!("/runtime.v1.RuntimeService/{method}"))
            .map_err(|error| error.to_string())?;
        let mut service = tonic::client::Grpc::new(self.channel.clone());
        self.runtime.block_on(async {
            service.ready().await.map_err(|error| format!("{method}: {error}"))?;
            let answer = service.unary(tonic::Request::new(request), path, tonic_prost::ProstCodec::default()).await;
            answer
                .map(tonic::Response::into_inner)
                .map_err(|status| format!("{method}: {}: {}", status.code(), status.message()))
        })
    }

    /// The exit code.
    fn command(&self, words: &[&str]) -> Result<i32, String> {
        match *words {
            ["runp", name, handler, config] => println!("{}", self.run_pod(name, handler, config)?),
            ["create", pod, name, config, ref command @ ..] => println!("{}", self.create(pod, name, config, command)?),
            ["run", pod, name, config, ref command @ ..] => {
                let id = self.create(pod, name, config, command)?;
                self.about("StartContainer", &id)?;
                println!("{id}");
            }
            ["start", id] => self.about("StartContainer", id)?,
            ["rm", id] => self.about("RemoveContainer", id)?,
            ["stopp", id] => self.about("StopPodSandbox", id)?,
            ["rmp", id] => {
                self.about("RemovePodSandbox", id)?;
                fs::remove_file(format!("{PODS}/{id}")).map_err(|error| format!("{PODS}/{id}: {error}"))?;
            }
            ["stop", id, seconds] => {
                let request = m::StopContainer { container_id: id.into(), timeout: number(seconds)? };
                self.call::<_, m::Nothing>("StopContainer", request)?;
            }
            ["exec", seconds, id, ref cmd @ ..] => return self.exec_sync(id, cmd, number(seconds)?),
            ["stream", "-t", id, ref cmd @ ..] => return self.stream(id, cmd, false, true),
            ["stream", "-i", id, ref cmd @ ..] => return self.stream(id, cmd, true, false),
            ["stream", id, ref cmd @ ..] => return self.stream(id, cmd, false, false),
            ["attach", id] => {
                let request = m::Attach { container_id: id.into(), stdout: true, stderr: true, ..Default::default() };
                return stream::relay(&self.call::<_, m::Url>("Attach", request)?.url, false);
            }
            ["state", id] => println!("{}", self.state(id)?),
            ["stats", id] => println!("{}", self.stats(id)?),
            ["ip", id] => println!("{}", self.pod(id)?.network.unwrap_or_default().ip),
            ["handler", id] => println!("{}", self.pod(id)?.runtime_handler),
            ["update", id, resources] => {
                let request = m::UpdateContainer { container_id: id.into(), linux: Some(read(resources)?) };
                self.call::<_, m::Nothing>("UpdateContainerResources", request)?;
            }
            ["pods", prefix] => {
                for pod in self.call::<_, m::PodList>("ListPodSandbox", m::Nothing {})?.items {
                    if pod.metadata.is_some_and(|metadata| metadata.name.starts_with(prefix)) {
                        println!("{}", pod.id);
                    }
                }
            }
            _ => return Err(format!("there is no command {words:?}")),
        }
        Ok(0)
    }

    /// Makes a call that says nothing but which one is meant.
    fn about(&self, method: &str, id: &str) -> Result<(), String> {
        self.call::<_, m::Nothing>(method, m::Id { id: id.into() }).map(drop)
    }

    fn run_pod(&self, name: &str, handler: &str, config: &str) -> Result<String, String> {
        let mut whole = json!({
            "metadata": {"name": name, "uid": name, "namespace": "default"},
            "hostname": name,
            "log_directory": format!("/var/log/pods/{name}"),
            "linux": {"cgroup_parent": "/kubepods.slice"},
        });
        lay_over(&mut whole, serde_json::from_str(config).map_err(|error| format!("{config}: {error}"))?);
        let request = m::RunPod { config: Some(read(&whole.to_string())?), runtime_handler: handler.into() };
        let id = self.call::<_, m::Id>("RunPodSandbox", request)?.id;
        fs::create_dir_all(PODS)
            .and_then(|()| fs::write(format!("{PODS}/{id}"), whole.to_string()))
            .map_err(|error| format!("{PODS}: {error}"))?;
        Ok(id)
    }

    fn create(&self, pod: &str, name: &str, config: &str, command: &[&str]) -> Result<String, String> {
        let mut whole = json!({
            "metadata": {"name": name},
            "image": {"image": IMAGE},
            "log_path": format!("{name}.log"),
            "command": command,
        });
        lay_over(&mut whole, serde_json::from_str(config).map_err(|error| format!("{config}: {error}"))?);
        let pods = fs::read_to_string(format!("{PODS}/{pod}")).map_err(|error| format!("{PODS}/{pod}: {error}"))?;
        let request = m::CreateContainer {
            pod_sandbox_id: pod.into(),
            config: Some(read(&whole.to_string())?),
            sandbox_config: Some(read(&pods)?),
        };
        Ok(self.call::<_, m::Id>("CreateContainer", request)?.id)
    }

    fn exec_sync(&self, id: &str, cmd: &[&str], timeout: i64) -> Result<i32, String> {
        let request = m::ExecSync { container_id: id.into(), cmd: owned(cmd), timeout };
        let answer: m::ExecSyncAnswer = self.call("ExecSync", request)?;
        io::stdout().write_all(&answer.stdout).map_err(|error| format!("standard output: {error}"))?;
        io::stderr().write_all(&answer.stderr).map_err(|error| format!("standard error: {error}"))?;
        Ok(answer.exit_code)
    }

    fn stream(&self, id: &str, cmd: &[&str], stdin: bool, tty: bool) -> Result<i32, String> {
        // containerd hangs up a terminal that nobody types at.
        let open = stdin || tty;
        let request =
            m::Exec { container_id: id.into(), cmd: owned(cmd), tty, stdin: open, stdout: true, stderr: !tty };
        stream::relay(&self.call::<_, m::Url>("Exec", request)?.url, stdin)
    }

    /// `RUNNING`, or `EXITED 7 Error`.
    fn state(&self, id: &str) -> Result<String, String> {
        let status = self
            .call::<_, m::ContainerStatusAnswer>("ContainerStatus", m::Id { id: id.into() })?
            .status
            .unwrap_or_default();
        Ok(match status.state {
            0 => "CREATED".into(),
            1 => "RUNNING".into(),
            2 => format!("EXITED {} {}", status.exit_code, status.reason),
            _ => "UNKNOWN".into(),
        })
    }

    /// What it used: `cpu NANOSECONDS memory BYTES`, each only where the engine knows it.
    fn stats(&self, id: &str) -> Result<String, String> {
        let stats =
            self.call::<_, m::StatsAnswer>("ContainerStats", m::Id { id: id.into() })?.stats.unwrap_or_default();
        let cpu = stats.cpu.and_then(|cpu| cpu.usage_core_nano_seconds).map(|time| format!("cpu {}", time.value));
        let memory =
            stats.memory.and_then(|memory| memory.working_set_bytes).map(|bytes| format!("memory {}", bytes.value));
        Ok(cpu.into_iter().chain(memory).collect::<Vec<_>>().join(" "))
    }

    fn pod(&self, id: &str) -> Result<m::PodStatus, String> {
        let answer: m::PodStatusAnswer = self.call("PodSandboxStatus", m::Id { id: id.into() })?;
        answer.status.ok_or_else(|| format!("{id}: the answer has no status"))
    }
}

/// Puts the members of `top` over those of `whole`, objects member by member.
fn lay_over(whole: &mut Value, top: Value) {
    match (whole, top) {
        (Value::Object(whole), Value::Object(top)) => {
            for (name, value) in top {
                lay_over(whole.entry(name).or_insert(Value::Null), value);
            }
        }
        (whole, top) => *whole = top,
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("{text}: {error}"))
}

fn number(word: &str) -> Result<i64, String> {
    word.parse().map_err(|error| format!("{word}: {error}"))
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}
