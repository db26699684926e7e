//! Memory that this process and its children have in common: [`mmap(2)`](https://man7.org/linux/man-pages/man2/mmap.2.html).

use std::sync::atomic::AtomicU64;

use rustix::io::Errno;

/// Words that are shared with every process that is cloned from this one, until that executes a program. They are zero, belong to
/// no file and to no descriptor, and stay for as long as this process is there.
///
/// # Errors
/// `ENOMEM`.
pub fn shared_words(count: usize) -> Result<&'static [AtomicU64], Errno> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    let length = count.checked_mul(size_of::<AtomicU64>()).ok_or(Errno::NOMEM)?;
    // SAFETY: a new mapping at an address that the kernel chooses; nothing that exists is touched.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        let errno = std::io::Error::last_os_error();
        return Err(Errno::from_io_error(&errno).unwrap_or(Errno::NOMEM));
    }
    // SAFETY: the mapping is page-aligned, zero, `count` words long and never unmapped. Whoever has it as well, which other
    // processes do, has it through this same type, so that every access is atomic.
    Ok(unsafe { std::slice::from_raw_parts(memory.cast::<AtomicU64>(), count) })
}
