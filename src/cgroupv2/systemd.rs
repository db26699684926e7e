//! systemd as the maker of a container's cgroup: a scope, asked for over D-Bus.
//!
//! A connection lives inside one call of [`talk`]. It is private, needs no thread, and opens only when a container's process is
//! there already, so no process is ever born beside one. Beyond the connection a scope costs one round trip and the wait for
//! systemd's job.

use std::env;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use rustix::io::Errno;
use rustix::process::{Pid, geteuid};
use serde::{Deserialize, Serialize};
use zbus::connection::Builder;
use zbus::message::{Flags, Type};
use zbus::{Connection, Message, MessageStream, OwnedObjectPath, Variant};

use crate::error::{Annotate, Context, Error, Result};
use crate::host::outer_uid;
use crate::plan::systemd::{Property, Scope, Value};

/// How long systemd gets for everything that one command asks of it, as in runc.
const DEADLINE: Duration = Duration::from_secs(30);

/// Where the machine's bus listens, unless `DBUS_SYSTEM_BUS_ADDRESS` says otherwise.
const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";

const SYSTEMD: &str = "org.freedesktop.systemd1";
const SYSTEMD_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const BUS: &str = "org.freedesktop.DBus";

// The refusals that mean something here.
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// A unit of systemd's, as the state remembers it: callers don't repeat `--systemd-cgroup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unit {
    /// `cri-containerd-0123.scope`
    pub name: String,
    /// The address of the bus at which the systemd is to be found that made it.
    pub bus: String,
    /// Whether that is a user's own systemd.
    pub user: bool,
}

impl Unit {
    /// Makes the scope around a process, which systemd moves into it. The process has to wait until this returns.
    ///
    /// # Errors
    /// Names the unit, and `--systemd-cgroup` where there is no systemd to talk to.
    pub fn start(scope: &Scope, pid: Pid) -> Result<Self> {
        let unit = Self { name: scope.unit.clone(), bus: bus_address(scope.user)?, user: scope.user };
        let properties = Properties::with_process(&scope.properties, pid);
        unit.talk(async |bus| bus.start(&unit.name, properties).await)
            .doing(|| format!("start {}", unit.name))
            .doing(|| "--systemd-cgroup")?;
        Ok(unit)
    }

    /// Ends it; ended and forgotten already is as good. What still runs in it is killed by systemd's rules, which take their
    /// time: see to it before.
    pub fn stop(&self) -> Result<()> {
        self.talk(async |bus| bus.stop(&self.name).await).doing(|| format!("stop {}", self.name))
    }

    /// Has systemd move a process into it, which the kernel doesn't let a user do from outside of what is delegated to that user.
    pub fn take_in(&self, pid: Pid) -> Result<()> {
        let pids = [pid.as_raw_nonzero().get().cast_unsigned()];
        self.talk(async |bus| bus.ask("AttachProcessesToUnit", &(&self.name, "", &pids[..])).await)
            .map(drop)
            .doing(|| format!("join {}", self.name))
    }

    /// Changes properties of it until it ends; returns when the cgroup's files have them.
    pub fn set(&self, properties: &[Property]) -> Result<()> {
        self.talk(async |bus| bus.set(&self.name, Properties::new(properties)).await)
            .doing(|| format!("change {}", self.name))
    }

    fn talk<T>(&self, conversation: impl AsyncFnOnce(&Bus) -> Result<T, Refusal>) -> Result<T> {
        zbus::block_on(async {
            let runtime = zruntime::SharedRuntime::current().call("epoll_create1")?;
            let whole = async {
                let bus = Bus::connect(&self.bus, self.user).await?;
                let outcome = conversation(&bus).await;
                // Here, and not when it is dropped, so that nothing of it is left to a later moment.
                let closed = bus.0.close().await.map_err(Refusal::from);
                outcome.and_then(|value| closed.map(|()| value)).map_err(Error::from)
            };
            runtime.timeout(DEADLINE, whole).await.unwrap_or_else(|_late| {
                Err(Error::new(format!("no answer from systemd within {} seconds", DEADLINE.as_secs()))
                    .hint(format!("see `systemctl status {}` and `systemctl list-jobs`", self.name)))
            })
        })
    }
}

/// The machine's bus, or the user's own.
fn bus_address(user: bool) -> Result<String> {
    let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
    if !user {
        return Ok(variable("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_else(|| SYSTEM_BUS.into()));
    }
    if let Some(address) = variable("DBUS_SESSION_BUS_ADDRESS") {
        return Ok(address);
    }
    let dir = variable("XDG_RUNTIME_DIR").map_or_else(|| Ok(format!("/run/user/{}", outer_uid()?)), Ok::<_, Error>)?;
    Ok(format!("unix:path={dir}/bus"))
}

/// A refusal, by systemd or on the way to it.
#[derive(Debug)]
struct Refusal {
    /// `org.freedesktop.systemd1.UnitExists`, where somebody at the other end said no.
    name: Option<String>,
    text: String,
}

impl Refusal {
    fn new(text: impl Into<String>) -> Self {
        Self { name: None, text: text.into() }
    }

    fn is(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }
}

impl From<zbus::Error> for Refusal {
    fn from(error: zbus::Error) -> Self {
        match error {
            zbus::Error::MethodError(name, text, _) => {
                Self { text: text.unwrap_or_else(|| name.to_string()), name: Some(name.to_string()) }
            }
            zbus::Error::FDO(error) => Self::new(error.to_string()),
            other => Self::new(other.to_string()),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let error = Self::new(refusal.text);
        match refusal.name.as_deref() {
            Some(UNIT_EXISTS) => error.hint("another container may have it, or a service of that name"),
            _ => error,
        }
    }
}

/// What systemd is to set.
struct Properties<'a> {
    all: Vec<(&'a str, Variant<'a>)>,
    /// Those that an older systemd may not know.
    dispensable: Vec<&'a str>,
}

impl<'a> Properties<'a> {
    fn new(properties: &'a [Property]) -> Self {
        let dispensable = properties.iter().filter(|property| property.dispensable);
        let dispensable = dispensable.map(|property| property.name.as_str()).collect();
        let variant = |property: &'a Property| (property.name.as_str(), as_variant(&property.value));
        Self { all: properties.iter().map(variant).collect(), dispensable }
    }

    fn with_process(properties: &'a [Property], pid: Pid) -> Self {
        let mut new = Self::new(properties);
        new.all.push(("PIDs", vec![pid.as_raw_nonzero().get().cast_unsigned()].into()));
        new
    }

    /// Leaves out what systemd said that it doesn't know; `false` where it said something else, or can't be spared.
    fn without_unknown(&mut self, refusal: &Refusal) -> bool {
        let unknown = refusal.text.strip_prefix("Cannot set property ").and_then(|text| text.split(',').next());
        let Some(unknown) = unknown.filter(|name| self.dispensable.contains(name)) else { return false };
        tracing::debug!("this systemd doesn't know {unknown}; the cgroup's file says the same");
        let before = self.all.len();
        self.all.retain(|(name, _)| *name != unknown);
        self.all.len() < before
    }
}

fn as_variant(value: &Value) -> Variant<'_> {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::I32(value) => (*value).into(),
        Value::U32(value) => (*value).into(),
        Value::U64(value) => (*value).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Texts(texts) => texts.clone().into(),
        Value::Bytes(bytes) => bytes.clone().into(),
        Value::Pairs(pairs) => pairs.clone().into(),
        Value::Weights(weights) => weights.clone().into(),
    }
}

/// A connection to the bus, and so to systemd.
struct Bus(Connection);

impl Bus {
    async fn connect(address: &str, of_a_user: bool) -> Result<Self> {
        // A list of addresses has the best one first.
        let first = address.split(';').next().unwrap_or(address);
        // A user's bus is outside of the user namespace that this may run in, the machine's is in the same one.
        let user = if of_a_user { outer_uid()? } else { geteuid().as_raw() };
        let connection = Builder::address(first).user_id(user).build().await;
        let connection = connection.map_err(|error| {
            let errno = match &error {
                zbus::Error::Connection(cause, _) => Errno::from_io_error(cause),
                _ => None,
            };
            let error = errno.map_or_else(|| Refusal::from(error).into(), |errno| Error::call("connect", errno));
            error
                .doing(format!("systemd's bus at {first}"))
                .hint("the systemd driver needs systemd and a running D-Bus; without the flag cgroups need neither")
        });
        connection.map(Self)
    }

    /// Starts the scope. A unit of that name that is left over, failed or about to be forgotten, gives way once.
    async fn start(&self, unit: &str, mut properties: Properties<'_>) -> Result<(), Refusal> {
        type Companions<'a> = Vec<(&'a str, Vec<(&'a str, Variant<'a>)>)>;
        let mut cleared = false;
        loop {
            let body = (unit, "replace", &properties.all, Companions::new());
            match self.job(unit, "StartTransientUnit", &body).await {
                Err(refusal) if refusal.is(UNIT_EXISTS) && !cleared => {
                    cleared = true;
                    self.reset_failed(unit).await?;
                }
                Err(refusal) if properties.without_unknown(&refusal) => (),
                outcome => return outcome,
            }
        }
    }

    async fn stop(&self, unit: &str) -> Result<(), Refusal> {
        match self.job(unit, "StopUnit", &(unit, "replace")).await {
            Err(refusal) if refusal.is(NO_SUCH_UNIT) => Ok(()),
            Ok(()) => self.reset_failed(unit).await,
            refused => refused,
        }
    }

    async fn set(&self, unit: &str, mut properties: Properties<'_>) -> Result<(), Refusal> {
        let until_it_ends = true;
        loop {
            match self.ask("SetUnitProperties", &(unit, until_it_ends, &properties.all)).await {
                Err(refusal) if properties.without_unknown(&refusal) => (),
                outcome => return outcome.map(drop),
            }
        }
    }

    async fn reset_failed(&self, unit: &str) -> Result<(), Refusal> {
        match self.ask("ResetFailedUnit", &(unit,)).await {
            Err(refusal) if !refusal.is(NO_SUCH_UNIT) => Err(refusal),
            _ => Ok(()),
        }
    }

    /// Asks for something that systemd does by a job, and waits until that is done.
    async fn job<B>(&self, unit: &str, method: &str, body: &B) -> Result<(), Refusal>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let mut signals = MessageStream::from(&self.0);
        self.0.send(&watch_jobs_of(unit)?).await?;
        let job: OwnedObjectPath = self.ask(method, body).await?.body().deserialize()?;
        loop {
            let signal = poll_fn(|context| Pin::new(&mut signals).poll_next(context)).await;
            let signal = signal.ok_or_else(|| Refusal::new("the bus ended the connection"))??;
            match end_of_job(&signal) {
                Some((ended, result)) if ended == job => return as_done(&result),
                _ => (),
            }
        }
    }

    async fn ask<B>(&self, method: &str, body: &B) -> Result<Message, Refusal>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        Ok(self.0.call_method(Some(SYSTEMD), SYSTEMD_PATH, Some(MANAGER), method, body).await?)
    }
}

/// Asks the bus for the ends of this unit's jobs, and for nothing else. systemd tells whoever asked for a job of its end, so
/// that there is no need to subscribe to all that happens. Nobody waits for the bus's answer: it comes before systemd's.
fn watch_jobs_of(unit: &str) -> Result<Message, Refusal> {
    let rule = format!("type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='JobRemoved',arg2='{unit}'");
    let call = Message::method_call("/org/freedesktop/DBus", "AddMatch").destination(BUS).interface(BUS);
    Ok(call.with_flags(Flags::NO_REPLY_EXPECTED).build(&(rule,))?)
}

/// The job that ended, and how, where this is the signal that says so.
fn end_of_job(message: &Message) -> Option<(OwnedObjectPath, String)> {
    let is_it = message.message_type() == Type::Signal
        && message.header().member().is_some_and(|member| member.as_str() == "JobRemoved");
    let body = message.body();
    let (_number, job, _unit, result) = body.deserialize::<(u32, OwnedObjectPath, String, String)>().ok()?;
    is_it.then_some((job, result))
}

fn as_done(result: &str) -> Result<(), Refusal> {
    if result == "done" { Ok(()) } else { Err(Refusal::new(format!("systemd's job ended with {result:?}"))) }
}

/// Where a process is that systemd has put into a scope: `below` is the end of the path.
///
/// # Errors
/// When it is somewhere else.
pub(super) fn placed(root: &Path, pid: Pid, below: &Path) -> Result<PathBuf> {
    let path = crate::host::cgroup_of(&pid.as_raw_nonzero().to_string())?;
    if path.ends_with(below) {
        return Ok(root.join(path.strip_prefix("/").unwrap_or(&path)));
    }
    let text = format!("systemd says that it is done, and the container's init is in {}", path.display());
    Err(Error::new(text).doing(below.display().to_string()).doing("--systemd-cgroup"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_types_that_systemd_wants() {
        for (value, signature) in [
            (Value::Bool(true), "b"),
            (Value::I32(1), "i"),
            (Value::U32(1), "u"),
            (Value::U64(1), "t"),
            (Value::Text("a".into()), "s"),
            (Value::Texts(vec![]), "as"),
            (Value::Bytes(vec![1]), "ay"),
            (Value::Pairs(vec![("a".into(), "b".into())]), "a(ss)"),
            (Value::Weights(vec![("a".into(), 1)]), "a(st)"),
        ] {
            assert_eq!(as_variant(&value).value_signature().to_string(), signature);
        }
    }
}
