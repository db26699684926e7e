//! Network devices of the host that move into the container's network namespace, with their addresses, and come back when the
//! container doesn't come about.
//!
//! The parent does it: only in the host's namespace can a device be found by its name and given away. Two rtnetlink(7) sockets, one
//! made in each namespace, do all of it. After the container's end the kernel takes care: physical devices return to the host,
//! virtual ones end.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Route};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::{Annotate, Context, Error, Result};
use crate::plan::NetDevice;
use crate::timeline;

/// Devices that a container has: they go back to the host when dropped, unless it keeps them.
#[derive(Debug, Default)]
pub struct Moved {
    ends: Option<(Namespace, Namespace)>,
    devices: Vec<Back>,
}

/// The way back of one device.
#[derive(Debug)]
struct Back {
    /// Its index in the container.
    index: u32,
    host: String,
    was_up: bool,
    addresses: Vec<AddressMessage>,
}

impl Moved {
    /// The container lives, and they with it.
    pub fn keep(mut self) {
        self.devices.clear();
    }
}

impl Drop for Moved {
    fn drop(&mut self) {
        let Some((host, container)) = &self.ends else { return };
        for device in self.devices.drain(..).rev() {
            if let Err(error) = device.bring(container, host) {
                tracing::warn!("network device {} did not come back to the host: {error}", device.host);
            }
        }
    }
}

impl Back {
    fn bring(&self, container: &Namespace, host: &Namespace) -> Result<()> {
        let (arrived, given) = give(container, host, self.index, &self.host)?;
        given?;
        arrived.map_or(Ok(()), |index| host.equip(index, &self.addresses, self.was_up))
    }
}

/// Moves the devices into the network namespace of the process.
///
/// # Errors
/// Names the device in the config. Those that have moved already are back on the host then.
pub fn hand_over(devices: &[NetDevice], pid: i32) -> Result<Moved> {
    let _step = timeline::step("hand the network devices over");
    if devices.is_empty() {
        return Ok(Moved::default());
    }
    let ends = (Namespace::open("/proc/self/ns/net")?, Namespace::of_process(pid)?);
    let mut moved = Moved { ends: Some(ends), devices: Vec::new() };
    for device in devices {
        moved.hand_over(device).field(&device.field)?;
    }
    Ok(moved)
}

impl Moved {
    fn hand_over(&mut self, device: &NetDevice) -> Result<()> {
        let Some((host, container)) = &self.ends else { return Ok(()) };
        let links = host.links()?;
        let link = links.iter().find(|link| name_of(link) == Some(&device.host));
        let link = link.ok_or_else(|| Error::new(format!("the host has no network device {:?}", device.host)))?;
        if container.links()?.iter().any(|link| name_of(link) == Some(&device.name)) {
            return Err(Error::new(format!("the container has a network device {:?} already", device.name)));
        }
        let was_up = link.header.flags.contains(LinkFlags::Up);
        let addresses = host.addresses(link.header.index)?;
        let (arrived, given) = give(host, container, link.header.index, &device.name)?;
        if let Some(index) = arrived {
            let (host, addresses) = (device.host.clone(), addresses.clone());
            self.devices.push(Back { index, host, was_up, addresses });
        }
        given?;
        arrived.map_or(Ok(()), |index| container.equip(index, &addresses, true))
    }
}

/// Gives a device of one namespace to the other, under that name. Says which index it has there, if it went, and whether all of it
/// was done: the kernel moves first and names then.
fn give(from: &Namespace, to: &Namespace, index: u32, name: &str) -> Result<(Option<u32>, Result<()>)> {
    let before: Vec<u32> = to.links()?.iter().map(|link| link.header.index).collect();
    let mut link = link(index);
    link.attributes = vec![LinkAttribute::NetNsFd(to.file.as_raw_fd()), LinkAttribute::IfName(name.into())];
    let given = from.change(Route::SetLink(link), 0).doing(|| format!("move it to be {name:?}"));
    let after = to.links()?;
    let arrived = after.iter().map(|link| link.header.index).find(|index| !before.contains(index));
    Ok((arrived, given))
}

fn link(index: u32) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link
}

fn name_of(link: &LinkMessage) -> Option<&String> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name),
        _ => None,
    })
}

/// A network namespace, and a socket in it.
#[derive(Debug)]
struct Namespace {
    file: File,
    socket: OwnedFd,
}

impl Namespace {
    /// The one that this process is in.
    fn open(path: &str) -> Result<Self> {
        let file = File::open(path).call("open").doing(|| path)?;
        Ok(Self { file, socket: socket()? })
    }

    /// That of another process. A socket stays in the namespace that it was made in.
    fn of_process(pid: i32) -> Result<Self> {
        let home = File::open("/proc/self/ns/net").call("open")?;
        let path = format!("/proc/{pid}/ns/net");
        let file = File::open(&path).call("open").doing(|| path)?;
        let enter =
            |file: &File| move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).call("setns");
        enter(&file)?;
        let socket = socket();
        enter(&home)?;
        Ok(Self { file, socket: socket? })
    }

    fn links(&self) -> Result<Vec<LinkMessage>> {
        let all = self.ask(Route::GetLink(LinkMessage::default()))?;
        Ok(all.into_iter().filter_map(|one| if let Route::NewLink(link) = one { Some(link) } else { None }).collect())
    }

    /// The permanent addresses of global scope, which the specification wants to be kept: without lifetime, as they are permanent.
    fn addresses(&self, index: u32) -> Result<Vec<AddressMessage>> {
        let mut every = AddressMessage::default();
        every.header.family = AddressFamily::Unspec;
        let mut kept = Vec::new();
        for answer in self.ask(Route::GetAddress(every))? {
            let Route::NewAddress(mut address) = answer else { continue };
            if address.header.index != index || address.header.scope != AddressScope::Universe || !permanent(&address) {
                continue;
            }
            address.attributes.retain(|attribute| {
                matches!(
                    attribute,
                    AddressAttribute::Address(_) | AddressAttribute::Local(_) | AddressAttribute::Broadcast(_)
                )
            });
            kept.push(address);
        }
        Ok(kept)
    }

    /// What the specification wants a device to have where it arrives.
    fn equip(&self, index: u32, addresses: &[AddressMessage], up: bool) -> Result<()> {
        for address in addresses {
            let mut address = address.clone();
            address.header.index = index;
            self.change(Route::NewAddress(address), NLM_F_CREATE | NLM_F_EXCL).doing(|| "give it its addresses")?;
        }
        if up {
            let mut link = link(index);
            (link.header.flags, link.header.change_mask) = (LinkFlags::Up, LinkFlags::Up);
            self.change(Route::SetLink(link), 0).doing(|| "set it up")?;
        }
        Ok(())
    }

    /// A request with many answers.
    fn ask(&self, question: Route) -> Result<Vec<Route>> {
        self.send(question, NLM_F_DUMP)?;
        let mut answers = Vec::new();
        self.receive(|answer| answers.push(answer))?;
        Ok(answers)
    }

    /// A request that is done, or not.
    fn change(&self, what: Route, flags: u16) -> Result<()> {
        self.send(what, NLM_F_ACK | flags)?;
        self.receive(drop)
    }

    fn send(&self, what: Route, flags: u16) -> Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(what));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        send(&self.socket, &bytes, SendFlags::empty()).call("send").doing(|| "rtnetlink").map(drop)
    }

    /// Everything up to the end of the answer.
    fn receive(&self, mut take: impl FnMut(Route)) -> Result<()> {
        // The kernel never puts more into one datagram.
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let (len, _) =
                recv(&self.socket, &mut buffer[..], RecvFlags::empty()).call("recv").doing(|| "rtnetlink")?;
            let mut rest = &buffer[..len];
            while !rest.is_empty() {
                let message = NetlinkMessage::<Route>::deserialize(rest)
                    .map_err(|error| Error::new(error.to_string()).doing("an answer of rtnetlink"))?;
                let used = (message.header.length as usize).next_multiple_of(4).min(rest.len());
                rest = if used == 0 { &[] } else { &rest[used..] };
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(answer) => {
                        return answer.code.map_or(Ok(()), |code| Err(refused(code.get())));
                    }
                    NetlinkPayload::InnerMessage(one) => take(one),
                    _ => (),
                }
            }
        }
    }
}

fn refused(code: i32) -> Error {
    let errno = Errno::from_raw_os_error(code.saturating_abs());
    let error = Error::call("rtnetlink", errno);
    match errno {
        Errno::INVAL | Errno::OPNOTSUPP => {
            error.hint("devices such as lo, and those that the kernel binds to a namespace, can't move")
        }
        _ => error,
    }
}

/// The flag has its place in the header, or, as one of more than eight, in an attribute.
fn permanent(address: &AddressMessage) -> bool {
    let whole = address.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Flags(flags) => Some(flags.bits()),
        _ => None,
    });
    let flags = whole.unwrap_or_else(|| u32::from(address.header.flags.bits()));
    AddressFlags::from_bits_retain(flags).contains(AddressFlags::Permanent)
}

fn socket() -> Result<OwnedFd> {
    let family = rustix::net::AddressFamily::NETLINK; // whose protocol 0 is NETLINK_ROUTE
    socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, None).call("socket").doing(|| "rtnetlink")
}
