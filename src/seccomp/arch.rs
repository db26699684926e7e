//! The ABIs by which a process can call the kernel, and the numbers that their calls have.

use seccompiler::SeccompCmpOp;

use super::profile::Condition;
use super::table::TABLE;

/// One way to call the kernel, with its own numbers. The order is that of the table's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abi {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86, by `int 0x80` or `sysenter`.
    X86,
    /// 32-bit pointers on 64-bit x86: the same entry as [`Abi::X86_64`], with a bit set in the number.
    X32,
    /// 64-bit Arm.
    Aarch64,
    /// 32-bit Arm, EABI.
    Arm,
    /// 64-bit RISC-V.
    Riscv64,
}

/// The bit in a call's number that says x32 (`__X32_SYSCALL_BIT`).
pub(super) const X32_BIT: u32 = 0x4000_0000;
/// Where the numbers of arm's own few calls start (`__ARM_NR_BASE`), far above all others.
pub(super) const ARM_PRIVATE: u32 = 0x000f_0000;

impl Abi {
    /// All that the table knows.
    pub const ALL: [Self; 6] = [Self::X86_64, Self::X86, Self::X32, Self::Aarch64, Self::Arm, Self::Riscv64];

    /// The ABI that this program itself uses.
    pub const NATIVE: Self = if cfg!(target_arch = "x86_64") {
        Self::X86_64
    } else if cfg!(target_arch = "aarch64") {
        Self::Aarch64
    } else if cfg!(target_arch = "riscv64") {
        Self::Riscv64
    } else {
        panic!("there is no column for this architecture in the table of system calls")
    };

    /// Its name in a profile.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::X86 => "SCMP_ARCH_X86",
            Self::X32 => "SCMP_ARCH_X32",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
            Self::Arm => "SCMP_ARCH_ARM",
            Self::Riscv64 => "SCMP_ARCH_RISCV64",
        }
    }

    /// The `AUDIT_ARCH_*` value that the kernel puts into `seccomp_data.arch`. x32 has that of x86-64.
    pub fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
            Self::Riscv64 => 0xc000_00f3,
        }
    }

    /// The ABI of the kernel that offers this one beside its own.
    #[must_use]
    pub fn kernel(self) -> Self {
        match self {
            Self::X86_64 | Self::X86 | Self::X32 => Self::X86_64,
            Self::Aarch64 | Self::Arm => Self::Aarch64,
            Self::Riscv64 => Self::Riscv64,
        }
    }

    /// Whether its registers have 32 bits, so that the upper half of an argument means nothing.
    pub(super) fn is_narrow(self) -> bool {
        matches!(self, Self::X86 | Self::X32 | Self::Arm)
    }

    /// The lowest number that a call of it can have.
    pub(super) fn first_number(self) -> u32 {
        if self == Self::X32 { X32_BIT } else { 0 }
    }
}

/// A system call that at least one ABI has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    numbers: &'static [i32; Abi::ALL.len()],
    door: Option<&'static Door>,
}

/// The other way to a call on 32-bit x86: `socketcall` or `ipc`, told by its first argument which call is meant.
#[derive(Debug)]
pub(super) struct Door {
    /// The number of `socketcall` or `ipc`.
    pub number: u32,
    /// What the first argument has to be.
    pub selects: [Condition; 1],
}

impl Door {
    const fn new(number: u32, selector: u64) -> Self {
        Self { number, selects: [Condition { index: 0, op: SeccompCmpOp::Eq, value: selector }] }
    }
}

/// Finds the calls that a profile names.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The row to look at first: profiles list names in the order of the alphabet, and leave few out.
    next: usize,
    /// Names that no ABI has.
    pub unknown: Vec<String>,
}

impl Names {
    /// The call of that name, if any ABI has it.
    pub(super) fn find(&mut self, name: &str) -> Option<Call> {
        let row = match TABLE.get(self.next) {
            Some((next, _)) if *next == name => Ok(self.next),
            _ => TABLE.binary_search_by(|(known, _)| (*known).cmp(name)),
        };
        let Ok(row) = row else {
            self.unknown.push(name.into());
            return None;
        };
        self.next = row + 1;
        Some(Call { numbers: &TABLE[row].1, door: door(name) })
    }
}

impl Call {
    /// The call of that name, if any ABI has it.
    #[cfg(any(test, fuzzing))]
    pub(super) fn named(name: &str) -> Option<Self> {
        Names::default().find(name)
    }

    /// Its number, where the ABI has it.
    pub(super) fn number(&self, abi: Abi) -> Option<u32> {
        let number = u32::try_from(self.numbers[abi as usize]).ok()?;
        Some(number + abi.first_number())
    }

    /// The other way to it, where the ABI has one.
    pub(super) fn door(&self, abi: Abi) -> Option<&'static Door> {
        self.door.filter(|_| abi == Abi::X86)
    }
}

/// The numbers of `socketcall` and `ipc` on 32-bit x86.
const SOCKETCALL: u32 = 102;
const IPC: u32 = 117;

/// The calls behind `socketcall` and `ipc`, sorted by name, with their selectors (`SYS_*` in linux/net.h, and linux/ipc.h).
static DOORS: [(&str, Door); 32] = [
    ("accept", Door::new(SOCKETCALL, 5)),
    ("accept4", Door::new(SOCKETCALL, 18)),
    ("bind", Door::new(SOCKETCALL, 2)),
    ("connect", Door::new(SOCKETCALL, 3)),
    ("getpeername", Door::new(SOCKETCALL, 7)),
    ("getsockname", Door::new(SOCKETCALL, 6)),
    ("getsockopt", Door::new(SOCKETCALL, 15)),
    ("listen", Door::new(SOCKETCALL, 4)),
    ("msgctl", Door::new(IPC, 14)),
    ("msgget", Door::new(IPC, 13)),
    ("msgrcv", Door::new(IPC, 12)),
    ("msgsnd", Door::new(IPC, 11)),
    ("recv", Door::new(SOCKETCALL, 10)),
    ("recvfrom", Door::new(SOCKETCALL, 12)),
    ("recvmmsg", Door::new(SOCKETCALL, 19)),
    ("recvmsg", Door::new(SOCKETCALL, 17)),
    ("semctl", Door::new(IPC, 3)),
    ("semget", Door::new(IPC, 2)),
    ("semop", Door::new(IPC, 1)),
    ("semtimedop", Door::new(IPC, 4)),
    ("send", Door::new(SOCKETCALL, 9)),
    ("sendmmsg", Door::new(SOCKETCALL, 20)),
    ("sendmsg", Door::new(SOCKETCALL, 16)),
    ("sendto", Door::new(SOCKETCALL, 11)),
    ("setsockopt", Door::new(SOCKETCALL, 14)),
    ("shmat", Door::new(IPC, 21)),
    ("shmctl", Door::new(IPC, 24)),
    ("shmdt", Door::new(IPC, 22)),
    ("shmget", Door::new(IPC, 23)),
    ("shutdown", Door::new(SOCKETCALL, 13)),
    ("socket", Door::new(SOCKETCALL, 1)),
    ("socketpair", Door::new(SOCKETCALL, 8)),
];

fn door(name: &str) -> Option<&'static Door> {
    let row = DOORS.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    Some(&DOORS[row].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_row_has_a_number() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
        assert!(TABLE.iter().all(|(_, numbers)| numbers.iter().any(|n| *n >= 0)));
    }

    /// As the kernel's tables have them: arch/x86/entry/syscalls, arch/arm/tools, include/uapi/asm-generic.
    #[test]
    fn numbers_are_the_kernels() {
        let numbers = |name| Abi::ALL.map(|abi| Call::named(name).unwrap().number(abi));
        let x32 = |n| Some(X32_BIT + n);
        assert_eq!(numbers("read"), [Some(0), Some(3), x32(0), Some(63), Some(3), Some(63)]);
        assert_eq!(numbers("execve"), [Some(59), Some(11), x32(520), Some(221), Some(11), Some(221)]);
        assert_eq!(numbers("openat2"), [Some(437), Some(437), x32(437), Some(437), Some(437), Some(437)]);
        assert_eq!(numbers("set_tls"), [None, None, None, None, Some(0xf0005), None]);
        assert!(Call::named("no_such_call").is_none());
    }

    #[test]
    fn only_x86_has_two_ways_to_a_call() {
        assert!(DOORS.is_sorted_by(|a, b| a.0 < b.0));
        for (name, _) in &DOORS {
            let call = Call::named(name).unwrap();
            assert!(call.door(Abi::X86).is_some(), "{name}");
            assert!(call.door(Abi::X86_64).is_none(), "{name}");
        }
        let number = |name| Call::named(name).unwrap().number(Abi::X86);
        assert_eq!((number("socketcall"), number("ipc")), (Some(SOCKETCALL), Some(IPC)));
        assert_eq!(Call::named("accept4").unwrap().door(Abi::X86).unwrap().selects[0].value, 18);
        assert!(Call::named("read").unwrap().door(Abi::X86).is_none());
    }

    #[test]
    fn this_program_is_of_an_abi_that_a_kernel_has_as_its_own() {
        assert_eq!(Abi::NATIVE.kernel(), Abi::NATIVE);
    }
}
