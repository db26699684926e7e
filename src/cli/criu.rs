//! The flags of `checkpoint` and `restore`, settled.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::words::{Checkpointing, Criu, Restoration};
use super::{Wrong, absolute, set, text};
use crate::criu::rpc::{CgroupsMode, NetworkLock};
use crate::error::{Error, Result};
use crate::plan::checkpoint::{CheckpointRequest, CriuRequest, RestoreRequest};
use crate::{checkpoint, restore};

/// Where a checkpoint is unless the caller says.
const IMAGES: &str = "checkpoint";

pub(super) fn checkpoint(root: &Path, dump: Checkpointing) -> Result<checkpoint::Options, Wrong> {
    let request = CheckpointRequest {
        criu: request(&dump.criu)?,
        leave_running: dump.leave_running,
        pre_dump: dump.pre_dump,
        tcp_skip_in_flight: dump.tcp_skip_in_flight,
        link_remap: dump.link_remap,
        parent: set(dump.criu.parent_path).map(PathBuf::from),
        page_server: set(dump.page_server).as_deref().map(page_server).transpose()?,
    };
    Ok(checkpoint::Options {
        root: root.into(),
        id: dump.criu.names.one("checkpoint")?,
        images: images(dump.criu.image_path)?,
        work: set(dump.criu.work_path).map(absolute).transpose()?,
        // runc's word for none.
        status_fd: dump.status_fd.filter(|fd| *fd != -1),
        request,
    })
}

pub(super) fn restore(root: &Path, systemd_cgroup: bool, restoration: Restoration) -> Result<restore::Options, Wrong> {
    let given = |value: Option<OsString>| set(value).as_deref().map(text);
    let request = RestoreRequest {
        criu: request(&restoration.criu)?,
        lsm_profile: given(restoration.lsm_profile),
        lsm_mount_context: given(restoration.lsm_mount_context),
    };
    Ok(restore::Options {
        root: root.into(),
        id: restoration.criu.names.one("restore")?,
        bundle: absolute(set(restoration.bundle).unwrap_or_else(|| ".".into()))?,
        images: images(restoration.criu.image_path)?,
        work: set(restoration.criu.work_path).map(absolute).transpose()?,
        pid_file: set(restoration.pid_file).map(absolute).transpose()?,
        console_socket: set(restoration.console_socket).map(absolute).transpose()?,
        detach: restoration.detach,
        no_subreaper: restoration.no_subreaper,
        no_new_keyring: restoration.no_new_keyring,
        systemd_cgroup,
        request,
    })
}

fn images(given: Option<OsString>) -> Result<PathBuf> {
    absolute(set(given).unwrap_or_else(|| IMAGES.into()))
}

fn request(flags: &Criu) -> Result<CriuRequest> {
    flags.empty_ns.iter().try_for_each(|kind| check_empty_namespace(kind))?;
    Ok(CriuRequest {
        tcp_established: flags.tcp_established,
        tcp_close: flags.tcp_close,
        ext_unix_sk: flags.ext_unix_sk,
        shell_job: flags.shell_job,
        file_locks: flags.file_locks,
        auto_dedup: flags.auto_dedup,
        lazy_pages: flags.lazy_pages,
        cgroups: set(flags.manage_cgroups_mode.clone()).as_deref().map(cgroups_mode).transpose()?,
        network_lock: set(flags.network_lock.clone()).as_deref().map(network_lock).transpose()?,
    })
}

/// The one kind that runc and CRIU know, which is left empty without being asked.
fn check_empty_namespace(kind: &OsStr) -> Result<()> {
    if kind == "network" { Ok(()) } else { Err(Error::new(format!("namespace {:?} is not supported", text(kind)))) }
}

fn cgroups_mode(word: &OsStr) -> Result<CgroupsMode> {
    match word.to_str() {
        Some("soft") => Ok(CgroupsMode::Soft),
        Some("full") => Ok(CgroupsMode::Full),
        Some("strict") => Ok(CgroupsMode::Strict),
        Some("ignore") => Ok(CgroupsMode::Ignore),
        _ => Err(Error::new("Invalid manage-cgroups-mode value")),
    }
}

fn network_lock(word: &OsStr) -> Result<NetworkLock> {
    match word.to_str() {
        Some("iptables") => Ok(NetworkLock::Iptables),
        Some("nftables") => Ok(NetworkLock::Nftables),
        Some("skip") => Ok(NetworkLock::Skip),
        _ => Err(Error::new(format!("--network-lock {:?}: iptables, nftables and skip are known", text(word)))),
    }
}

/// An IPv6 address stands in brackets.
fn page_server(word: &OsStr) -> Result<(String, u16)> {
    let usage = || Error::new("Use --page-server ADDRESS:PORT to specify page server");
    let (address, port) = word.to_str().and_then(|word| word.rsplit_once(':')).ok_or_else(usage)?;
    let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare,
        None if address.contains([':', '[', ']']) => return Err(usage()),
        None => address,
    };
    if address.is_empty() || port.is_empty() {
        return Err(usage());
    }
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(|| Error::new("Invalid port number"))?;
    Ok((address.into(), port))
}

#[cfg(test)]
mod tests {
    use super::super::{Command, Stop, parse};
    use super::*;

    fn command(line: &str) -> Command {
        match parse(std::iter::once("orlop").chain(line.split_whitespace()).map(OsString::from)) {
            Ok(invocation) => invocation.command,
            Err(Stop::Answer(text)) => panic!("{line}: answered: {text}"),
            Err(Stop::Refusal(refusal)) => panic!("{line}: refused: {}", refusal.message),
        }
    }

    fn dump(line: &str) -> checkpoint::Options {
        match command(line) {
            Command::Checkpoint(options) => *options,
            _ => panic!("{line}: no checkpoint"),
        }
    }

    fn restoration(line: &str) -> restore::Options {
        match command(line) {
            Command::Restore(options) => *options,
            _ => panic!("{line}: no restore"),
        }
    }

    fn message(line: &str) -> String {
        match parse(std::iter::once("orlop").chain(line.split_whitespace()).map(OsString::from)) {
            Err(Stop::Refusal(refusal)) => refusal.message,
            _ => panic!("{line}: not refused"),
        }
    }

    #[test]
    fn defaults() {
        let here = std::env::current_dir().unwrap();
        let options = dump("checkpoint id");
        assert_eq!((options.id.as_str(), options.images), ("id", here.join("checkpoint")));
        assert_eq!((options.work, options.status_fd), (None, None));
        assert_eq!(options.request, CheckpointRequest::default());
        let options = restoration("restore id");
        assert_eq!((options.bundle, options.images), (here.clone(), here.join("checkpoint")));
        assert!(!options.detach && !options.systemd_cgroup && !options.no_new_keyring && !options.no_subreaper);
        assert_eq!(options.request, RestoreRequest::default());
    }

    #[test]
    fn every_flag_of_checkpoint() {
        let options = dump(
            "checkpoint --image-path /i --work-path /w --leave-running --tcp-established --tcp-skip-in-flight --tcp-close \
             --ext-unix-sk --shell-job --file-locks --link-remap --manage-cgroups-mode strict --parent-path ../p --pre-dump \
             --lazy-pages --status-fd 5 --page-server [::1]:99 --empty-ns network --auto-dedup --network-lock nftables id",
        );
        let criu = CriuRequest {
            tcp_established: true,
            tcp_close: true,
            ext_unix_sk: true,
            shell_job: true,
            file_locks: true,
            auto_dedup: true,
            lazy_pages: true,
            cgroups: Some(CgroupsMode::Strict),
            network_lock: Some(NetworkLock::Nftables),
        };
        let request = CheckpointRequest {
            criu,
            leave_running: true,
            pre_dump: true,
            tcp_skip_in_flight: true,
            link_remap: true,
            parent: Some("../p".into()),
            page_server: Some(("::1".into(), 99)),
        };
        assert_eq!(options.request, request);
        assert_eq!((options.images.as_path(), options.work.as_deref()), (Path::new("/i"), Some(Path::new("/w"))));
        assert_eq!(options.status_fd, Some(5));
        assert_eq!(dump("checkpoint --status-fd -1 id").status_fd, None);
    }

    #[test]
    fn containerd_and_podman_restore() {
        let options = restoration(
            "restore --image-path /i --work-path /w --detach --pid-file /p --console-socket /s --no-pivot -no-subreaper \
             --bundle /b id",
        );
        assert!(options.detach && options.no_subreaper);
        assert_eq!(options.bundle, Path::new("/b"));
        assert_eq!(
            (options.pid_file.as_deref(), options.console_socket.as_deref()),
            (Some(Path::new("/p")), Some(Path::new("/s")))
        );
        let options = restoration(
            "--systemd-cgroup restore --bundle /b --pid-file /p --no-new-keyring --detach --image-path /i --work-path /b \
             --tcp-established --tcp-close --file-locks --lsm-profile=selinux:a:b --lsm-mount-context=c id",
        );
        assert!(options.systemd_cgroup && options.no_new_keyring);
        assert!(
            options.request.criu.tcp_close && options.request.criu.tcp_established && options.request.criu.file_locks
        );
        assert_eq!(options.request.lsm_profile.as_deref(), Some("selinux:a:b"));
        assert_eq!(options.request.lsm_mount_context.as_deref(), Some("c"));
    }

    #[test]
    fn words_that_cannot_be_followed_are_refused() {
        assert_eq!(message("checkpoint --manage-cgroups-mode x id"), "Invalid manage-cgroups-mode value");
        assert_eq!(message("restore --empty-ns ipc id"), "namespace \"ipc\" is not supported");
        for server in ["x", ":1", "x:", "a:b:1", "[::1]"] {
            let usage = "Use --page-server ADDRESS:PORT to specify page server";
            assert_eq!(message(&format!("checkpoint --page-server {server} id")), usage, "{server}");
        }
        for port in ["y", "0", "65536"] {
            assert_eq!(message(&format!("checkpoint --page-server x:{port} id")), "Invalid port number");
        }
        assert!(message("checkpoint --network-lock x id").starts_with("--network-lock \"x\""));
        assert_eq!(message("checkpoint"), "orlop: \"checkpoint\" requires exactly 1 argument(s)");
        assert_eq!(message("restore --leave-running id"), "flag provided but not defined: -leave-running");
    }

    #[test]
    fn podmans_question_has_the_answer_that_it_looks_for() {
        assert_eq!(message("restore --lsm-mount-context"), "flag needs an argument: --lsm-mount-context");
    }
}
