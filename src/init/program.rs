//! The container's program: found while the container is created, executed when it is started.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, ResolveFlags, StatVfsMountFlags, fstat, fstatvfs};
use rustix::io::Errno;
use rustix::process::{fchdir, getcwd};

use super::identity::as_user;
use crate::error::{Annotate, Context, Error, Result, errno_text};
use crate::inside::{Inside, Make};
use crate::plan::{Plan, Process};
use crate::sys;
use crate::timeline;

/// Where execvp(3) looks without a PATH.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// The largest passwd file whose users have homes; real ones have some kilobytes.
const PASSWD_LIMIT: u64 = 1 << 20;

/// Ready to be executed.
pub(super) struct Program {
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

/// The working directory, made where it is missing, while the root can still be written to. By descriptor and without magic
/// links, so that no `/proc/self/fd/N` leads out (rule R4, CVE-2024-21626).
pub(super) fn working_directory(plan: &Plan, root: &Inside) -> Result<OwnedFd> {
    let cwd = &plan.process.cwd;
    let dir = root.find_or_make(cwd, Make::Dir).field("process.cwd")?;
    if FileType::from_raw_mode(fstat(&dir).call("fstat")?.st_mode) == FileType::Directory {
        return Ok(dir);
    }
    Err(Error::call("chdir", Errno::NOTDIR).doing(cwd.display().to_string()).field("process.cwd"))
}

/// The working directory of a process that joins a container, which has to be there already.
pub(super) fn existing_directory(process: &Process, root: &Inside) -> Result<OwnedFd> {
    root.find(&process.cwd).call("chdir").doing(|| process.cwd.display().to_string()).field("process.cwd")
}

/// Goes to the working directory and finds the program from there.
///
/// # Errors
/// In runc's words, which engines read to tell "not found" (127) from "can't be executed" (126).
pub(super) fn find(process: &Process, root: &Inside, cwd: &OwnedFd) -> Result<Program> {
    let _step = timeline::step("find the program");
    enter(process, cwd).doing(|| process.cwd.display().to_string()).field("process.cwd")?;
    let mut env = process.env.clone();
    if process.variable("HOME").is_none() {
        env.push(home_variable(root, process.user.uid));
    }
    if process.is_activated {
        let pid = rustix::process::getpid().as_raw_nonzero();
        env.extend(CString::new(format!("LISTEN_PID={pid}")));
    }
    let name = &process.args[0];
    let path = as_user(&process.user, || search(process, root))?
        .doing(|| format!("exec: {:?}", name.to_string_lossy()))
        .field("process.args[0]")?;
    let path = CString::new(path.into_os_string().into_vec()).map_err(|_| Error::new("a path with a NUL byte"))?;
    Ok(Program { path, args: process.args.clone(), env })
}

/// And asks the kernel where that is, which has to be below the root.
fn enter(process: &Process, dir: &OwnedFd) -> Result<()> {
    match fchdir(dir) {
        // A directory may be the user's alone, on a network file system for instance.
        Err(Errno::ACCESS | Errno::PERM) => as_user(&process.user, || fchdir(dir))?.call("chdir")?,
        entered => entered.call("chdir")?,
    }
    match getcwd(Vec::new()) {
        Ok(path) if path.as_bytes().starts_with(b"/") => Ok(()),
        Ok(_) | Err(Errno::NOENT) => Err(Error::new("is outside of the container's root")),
        Err(errno) => Err(Error::call("getcwd", errno)),
    }
}

/// `HOME` by the user's number; a name in passwd that looks like a number means nothing here (CVE-2016-3697).
fn home_variable(root: &Inside, uid: u32) -> CString {
    let home = home(root, uid).filter(|home| !home.is_empty()).unwrap_or_else(|| b"/".to_vec());
    CString::new([b"HOME=".as_slice(), &home].concat()).unwrap_or_else(|_| c"HOME=/".into())
}

/// Reads the image's passwd with care: it may be a FIFO, a device or without end.
fn home(root: &Inside, uid: u32) -> Option<Vec<u8>> {
    let found = root.find(Path::new("/etc/passwd")).ok()?;
    if FileType::from_raw_mode(fstat(&found).ok()?.st_mode) != FileType::RegularFile {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(root.open(Path::new("/etc/passwd"), flags, ResolveFlags::empty()).ok()?);
    if FileType::from_raw_mode(fstat(&file).ok()?.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut text = Vec::new();
    file.take(PASSWD_LIMIT).read_to_end(&mut text).ok()?;
    home_of(&text, uid)
}

/// passwd(5): name:password:UID:GID:GECOS:directory:shell
pub(crate) fn home_of(passwd: &[u8], uid: u32) -> Option<Vec<u8>> {
    let uid = uid.to_string();
    passwd.split(|b| *b == b'\n').find_map(|line| {
        let fields: Vec<_> = line.split(|b| *b == b':').collect();
        (fields.len() >= 6 && fields[2] == uid.as_bytes()).then(|| fields[5].to_vec())
    })
}

/// Where the program is, seen as its user.
fn search(process: &Process, root: &Inside) -> Result<PathBuf> {
    let name = Path::new(OsStr::from_bytes(process.args[0].as_bytes()));
    if name.as_os_str().is_empty() {
        return Err(Error::new("executable file not found in $PATH"));
    }
    if name.as_os_str().as_bytes().contains(&b'/') {
        let path = process.cwd.join(name);
        return check(&path, root).map(|()| path);
    }
    let dirs = process.variable("PATH").unwrap_or(DEFAULT_PATH);
    let candidates = dirs.split(|b| *b == b':').map(|dir| process.cwd.join(OsStr::from_bytes(dir)).join(name));
    candidates
        .into_iter()
        .find(|path| check(path, root).is_ok())
        .ok_or_else(|| Error::new("executable file not found in $PATH"))
}

fn check(path: &Path, root: &Inside) -> Result<()> {
    let shown = path.display();
    let found = root.find(path).map_err(|errno| match errno {
        Errno::ACCESS => Error::new(errno_text(errno)),
        Errno::LOOP => Error::new(format!("stat {shown}: {}", errno_text(errno)))
            .hint("a link of procfs such as /proc/self/exe can't be the program"),
        _ => Error::new(format!("stat {shown}: {}", errno_text(errno))),
    })?;
    let kind = FileType::from_raw_mode(fstat(&found).call("fstat")?.st_mode);
    if kind == FileType::Directory {
        return Err(Error::new("is a directory"));
    }
    match sys::may_execute(found.as_fd()) {
        Ok(()) if kind == FileType::RegularFile => Ok(()),
        Ok(()) => Err(Error::new("permission denied").hint("it is no regular file")),
        Err(errno) => Err(Error::new(errno_text(errno)).hint(why_not_executable(&found))),
    }
}

fn why_not_executable(found: &OwnedFd) -> &'static str {
    match fstatvfs(found) {
        Ok(fs) if fs.f_flag.contains(StatVfsMountFlags::NOEXEC) => "the file system that it is on is mounted noexec",
        _ => "the file has no permission to execute for this user",
    }
}

impl Program {
    /// Becomes the program.
    pub(super) fn execute(self) -> Result<std::convert::Infallible> {
        let Err(errno) = nix::unistd::execve(&self.path, &self.args, &self.env);
        let errno = Errno::from_raw_os_error(errno as i32);
        let error = Error::new(errno_text(errno)).doing(format!("exec {}", self.path.to_string_lossy()));
        let path = Path::new(OsStr::from_bytes(self.path.as_bytes()));
        Err(match head_of(path).and_then(|head| explain_refusal(&head, errno)) {
            Some(hint) => error.hint(hint),
            None => error,
        }
        .field("process.args[0]"))
    }
}

fn head_of(path: &Path) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    let mut head = vec![0; 4096];
    let length = file.read_at(&mut head, 0).ok()?;
    head.truncate(length);
    Some(head)
}

/// Why the kernel would not execute a file that is there and executable, where its first bytes tell.
pub(crate) fn explain_refusal(head: &[u8], errno: Errno) -> Option<String> {
    match errno {
        Errno::NOENT => {
            let interpreter = interpreter(head)?;
            Some(format!("its interpreter {interpreter} is missing in the container's root file system"))
        }
        Errno::NOEXEC | Errno::INVAL | Errno::LIBBAD => Some(format_problem(head)),
        _ => None,
    }
}

/// What loads the file: the `#!` line's program, or the dynamic linker.
fn interpreter(head: &[u8]) -> Option<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|b| *b == b'\n').next()?.trim_ascii_start();
        return line.split(u8::is_ascii_whitespace).next().map(text);
    }
    let elf = Elf::read(head)?;
    let segment = elf.segments().find(|segment| segment.kind == PT_INTERP)?;
    let end = segment.offset.checked_add(segment.size)?;
    head.get(segment.offset..end).map(|path| text(path.split(|b| *b == 0).next().unwrap_or(path)))
}

fn format_problem(head: &[u8]) -> String {
    match Elf::read(head) {
        Some(elf) if !elf.is_native() => {
            format!("the program is for {}, and this machine is {}", elf.machine_name(), std::env::consts::ARCH)
        }
        Some(_) => "the ELF file is damaged".into(),
        None if head.is_empty() => "the file is empty".into(),
        None => "the file is neither an ELF program nor a script that starts with #!".into(),
    }
}

/// The segment that names the dynamic linker.
const PT_INTERP: u32 = 3;

/// The parts of an ELF file's head that explain why it can't run: elf(5).
struct Elf<'a> {
    head: &'a [u8],
    is_64: bool,
    is_little: bool,
}

struct Segment {
    kind: u32,
    offset: usize,
    size: usize,
}

impl<'a> Elf<'a> {
    fn read(head: &'a [u8]) -> Option<Self> {
        (head.starts_with(b"\x7fELF") && head.len() >= 64).then(|| Self {
            head,
            is_64: head[4] == 2,
            is_little: head[5] == 1,
        })
    }

    fn number(&self, offset: usize, size: usize) -> Option<u64> {
        let bytes = self.head.get(offset..offset.checked_add(size)?)?;
        let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(if self.is_little { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) })
    }

    fn machine(&self) -> u64 {
        self.number(18, 2).unwrap_or_default()
    }

    fn machine_name(&self) -> String {
        match self.machine() {
            3 => "x86".into(),
            8 => "mips".into(),
            20 | 21 => "powerpc".into(),
            22 => "s390x".into(),
            40 => "arm".into(),
            62 => "x86_64".into(),
            183 => "aarch64".into(),
            243 => "riscv64".into(),
            258 => "loongarch64".into(),
            other => format!("ELF machine {other}"),
        }
    }

    fn is_native(&self) -> bool {
        let name = self.machine_name();
        name == std::env::consts::ARCH || (name == "x86" && std::env::consts::ARCH == "x86_64")
    }

    fn segments(&self) -> impl Iterator<Item = Segment> {
        let (start, size, count) = if self.is_64 { (32, 54, 56) } else { (28, 42, 44) };
        let start = self.number(start, if self.is_64 { 8 } else { 4 }).unwrap_or_default();
        let size = self.number(size, 2).unwrap_or_default();
        let count = self.number(count, 2).unwrap_or_default();
        (0..count).map_while(move |i| self.segment(usize::try_from(start.checked_add(i.checked_mul(size)?)?).ok()?))
    }

    fn segment(&self, at: usize) -> Option<Segment> {
        let (offset, size, width) = if self.is_64 { (8, 32, 8) } else { (4, 16, 4) };
        let field = |offset| usize::try_from(self.number(at.checked_add(offset)?, width)?).ok();
        Some(Segment { kind: u32::try_from(self.number(at, 4)?).ok()?, offset: field(offset)?, size: field(size)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_is_found_by_number_only() {
        let passwd =
            b"root:x:0:0:root:/root:/bin/sh\n1000:x:0:0::/evil:/bin/sh\nbad\nme:x:1000:1000:,:/home/me:/bin/sh\n";
        assert_eq!(home_of(passwd, 0).unwrap(), b"/root");
        assert_eq!(home_of(passwd, 1000).unwrap(), b"/home/me");
        assert_eq!(home_of(passwd, 7), None);
        assert_eq!(home_of(b"", 0), None);
    }

    #[test]
    fn interpreters_are_named() {
        assert_eq!(interpreter(b"#! /bin/nope -x\nrest").unwrap(), "/bin/nope");
        assert_eq!(interpreter(b"#!/usr/bin/env\n").unwrap(), "/usr/bin/env");
        assert_eq!(interpreter(b"plain text"), None);
        let sh = std::fs::read("/bin/sh").unwrap();
        assert!(interpreter(&sh[..4096]).unwrap().contains("/ld-linux"));
    }

    #[test]
    fn a_foreign_program_is_named_by_its_machine() {
        let mut head = vec![0; 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[18] = 243;
        assert!(format_problem(&head).starts_with("the program is for riscv64"));
        assert_eq!(format_problem(b""), "the file is empty");
        assert!(format_problem(b"text").contains("neither"));
    }

    #[test]
    fn damaged_headers_are_survived() {
        let mut head = vec![0xff; 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert_eq!(interpreter(&head), None);
        assert!(format_problem(&head).contains("ELF machine 65535"));
    }
}
