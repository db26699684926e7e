//! What the compiler is measured by: a naive reading of profiles, the kernel's part, and made-up profiles and calls. For tests
//! and fuzz targets alone.

mod machine;
mod naive;
mod random;

use oci_spec::runtime::LinuxSeccomp;

use super::{Abi, SockFilter, compile_for};
pub(crate) use machine::{Data, check, run};
pub(crate) use naive::Naive;
pub(crate) use random::{Calls, Random, profile};

/// The kernels that a program can be for.
pub(crate) const NATIVE: [Abi; 3] = [Abi::X86_64, Abi::Aarch64, Abi::Riscv64];

/// The program of a profile. Panics if the profile is refused, or the kernel would not take the program.
pub(crate) fn program(native: Abi, profile: &LinuxSeccomp) -> Vec<SockFilter> {
    let program = compile_for(native, profile).unwrap().program;
    assert_eq!(check(&program), Ok(()));
    program
}

/// Panics at the first call for which the program says something else than the profile, naively read.
pub(crate) fn agree(profile: &LinuxSeccomp, native: Abi, random: &mut Random<'_>, calls: usize) {
    let (program, naive, source) = (program(native, profile), Naive::new(profile, native), Calls::new(profile, native));
    for _ in 0..calls {
        let data = source.next(random);
        let (ours, meant) = (run(&program, &data).value, naive.verdict(&data));
        assert_eq!(ours, meant, "{ours:#x} {meant:#x} {native:?} {data:x?} {profile:#?}");
    }
}
