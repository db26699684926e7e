//! The compiler against a naive reading of the same profile, against libseccomp, and against bad input.

mod libseccomp;

use oci_spec::runtime::LinuxSeccomp;
use serde_json::{Value, json};

use super::arch::X32_BIT;
use super::model::{self, Data, NATIVE, Naive, Random, agree, program, run};
use super::*;

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

fn profile(json: Value) -> LinuxSeccomp {
    serde_json::from_value(json).unwrap()
}

/// What Docker, containerd and Podman send on x86-64 for a container without further privileges, and one that has what theirs
/// lack. containerd's is that of 2.2: its program makes it from the container's capabilities.
fn docker() -> LinuxSeccomp {
    serde_json::from_str(include_str!("docker.json")).unwrap()
}

fn containerd() -> LinuxSeccomp {
    serde_json::from_str(include_str!("containerd.json")).unwrap()
}

fn podman() -> LinuxSeccomp {
    serde_json::from_str(include_str!("podman.json")).unwrap()
}

fn varied() -> LinuxSeccomp {
    let arg =
        |index: u32, op: &str, value: u64| json!({"index": index, "op": op, "value": value, "valueTwo": value & 0x55});
    profile(json!({
        "defaultAction": "SCMP_ACT_KILL_PROCESS",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        "syscalls": [
            {"names": ["read", "close", "socket", "bind", "accept", "semop", "msgctl", "set_tls"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["execve", "execveat"], "action": "SCMP_ACT_TRACE", "errnoRet": 7},
            {"names": ["uname"], "action": "SCMP_ACT_TRAP"},
            {"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_LOG"},
            {"names": ["chown", "fchownat"], "action": "SCMP_ACT_KILL"},
            {"names": ["fcntl"], "action": "SCMP_ACT_ALLOW", "args": [arg(1, "SCMP_CMP_LT", 5), arg(2, "SCMP_CMP_GE", 1 << 33)]},
            {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": [arg(1, "SCMP_CMP_LE", 0x5401), arg(0, "SCMP_CMP_GT", 2)]},
            {"names": ["prctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22, "args": [arg(5, "SCMP_CMP_MASKED_EQ", 0xff)]},
            {"names": ["kill"], "action": "SCMP_ACT_ALLOW", "args": [arg(0, "SCMP_CMP_EQ", 1), arg(0, "SCMP_CMP_EQ", 2)]},
            {"names": ["dup3"], "action": "SCMP_ACT_ALLOW", "args": [arg(4, "SCMP_CMP_NE", 0xffff_ffff)]},
        ],
    }))
}

fn with_native(mut profile: LinuxSeccomp, native: Abi) -> LinuxSeccomp {
    let listed = Abi::ALL.into_iter().filter(|abi| abi.kernel() == native);
    profile.set_architectures(Some(listed.map(|abi| abi.name().parse().unwrap()).collect()));
    profile
}

/// The verdict on one call of that name.
fn verdict(profile: &LinuxSeccomp, abi: Abi, name: &str, args: [u64; 6]) -> u32 {
    let nr = arch::Call::named(name).unwrap().number(abi).unwrap();
    run(&program(abi.kernel(), profile), &Data { nr, arch: abi.audit(), args }).value
}

#[test]
fn made_up_profiles_mean_what_a_naive_reading_says() {
    for native in NATIVE {
        let mut random = Random::Seeded(native as u64);
        for _ in 0..150 {
            let profile = model::profile(&mut random);
            agree(&profile, native, &mut random, 300);
        }
    }
}

#[test]
fn profiles_in_use_mean_what_a_naive_reading_says() {
    for native in NATIVE {
        for profile in [docker(), containerd(), podman(), varied()] {
            agree(&with_native(profile, native), native, &mut Random::Seeded(7), 10_000);
        }
    }
}

#[test]
fn the_kernel_can_cache_every_call_that_is_always_allowed() {
    for native in NATIVE {
        let profile = with_native(docker(), native);
        let (program, naive) = (program(native, &profile), Naive::new(&profile, native));
        let conditional = ["personality", "socket", "clone"].map(|name| arch::Call::named(name).unwrap());
        for abi in Abi::ALL.into_iter().filter(|abi| abi.kernel() == native) {
            let numbers = (0..600).map(|nr| nr + abi.first_number());
            for nr in numbers.filter(|nr| conditional.iter().all(|call| call.number(abi) != Some(*nr))) {
                let data = Data { nr, arch: abi.audit(), args: [0; 6] };
                let outcome = run(&program, &data);
                assert_eq!(outcome.value, naive.verdict(&data));
                assert!(!outcome.saw_arguments, "{abi:?} {nr}");
            }
        }
    }
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let default = |action: &str| {
        profile(
            json!({"defaultAction": action, "syscalls": [{"names": ["openat2", "read"], "action": "SCMP_ACT_LOG"}]}),
        )
    };
    let data = |nr| Data { nr, arch: Abi::Riscv64.audit(), args: [0; 6] };
    let last_two = |action| [436, 438].map(|nr| run(&program(Abi::Riscv64, &default(action)), &data(nr)).value);
    assert_eq!(last_two("SCMP_ACT_ERRNO"), [EPERM, ENOSYS]);
    assert_eq!(last_two("SCMP_ACT_KILL_PROCESS"), [0x8000_0000, ENOSYS]);
    assert_eq!(last_two("SCMP_ACT_ALLOW"), [ALLOW; 2]);
    assert_eq!(last_two("SCMP_ACT_TRACE"), [0x7ff0_0001; 2]);
}

#[test]
fn a_profile_that_names_no_call_is_its_default() {
    let profile = profile(json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13}));
    assert_eq!(verdict(&profile, Abi::Aarch64, "read", [0; 6]), 0x0005_000d);
    assert_eq!(verdict(&profile, Abi::Aarch64, "openat2", [0; 6]), 0x0005_000d);
}

#[test]
fn unlisted_abis_kill_and_the_kernels_own_is_always_listed() {
    let none = profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_MIPS"]}));
    assert_eq!(verdict(&none, Abi::X86_64, "read", [0; 6]), ALLOW);
    assert_eq!(verdict(&none, Abi::X32, "read", [0; 6]), 0);
    assert_eq!(verdict(&none, Abi::X86, "read", [0; 6]), 0);
    assert_eq!(verdict(&none, Abi::Aarch64, "read", [0; 6]), ALLOW);
    assert_eq!(verdict(&none, Abi::Arm, "read", [0; 6]), 0);
}

#[test]
fn a_tracer_may_skip_a_call() {
    let skipped = Data { nr: u32::MAX, arch: Abi::X86_64.audit(), args: [0; 6] };
    let only_native = profile(json!({"defaultAction": "SCMP_ACT_ALLOW"}));
    assert_eq!(run(&program(Abi::X86_64, &only_native), &skipped).value, ALLOW);
}

/// Rules 18 to 21 of Podman's profile: audit sockets are refused with EINVAL.
#[test]
fn rules_with_conditions_have_their_own_errno() {
    let podman = podman();
    assert_eq!(verdict(&podman, Abi::X86_64, "socket", [16, 3, 9, 0, 0, 0]), 0x0005_0016);
    assert_eq!(verdict(&podman, Abi::X86_64, "socket", [16, 3, 0, 0, 0, 0]), ALLOW);
    assert_eq!(verdict(&podman, Abi::X86_64, "socket", [2, 1, 9, 0, 0, 0]), ALLOW);
    assert_eq!(verdict(&podman, Abi::X86_64, "bpf", [0; 6]), EPERM);
}

/// Docker's rule for clone: a mask of all namespace flags, and no valueTwo.
#[test]
fn a_missing_value_two_is_zero() {
    assert_eq!(verdict(&docker(), Abi::X86_64, "clone", [0x11, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(verdict(&docker(), Abi::X86_64, "clone", [0x1000_0011, 0, 0, 0, 0, 0]), EPERM);
}

#[test]
fn only_whole_arguments_count_where_registers_have_64_bits() {
    let personality = |abi, value: u64| verdict(&docker(), abi, "personality", [value, 0, 0, 0, 0, 0]);
    assert_eq!(personality(Abi::X86_64, 8), ALLOW);
    assert_eq!(personality(Abi::X86_64, 8 | 1 << 32), EPERM);
    assert_eq!(personality(Abi::X86, 8 | 1 << 32), ALLOW);
    assert_eq!(personality(Abi::X32, 8 | 1 << 32), ALLOW);
}

#[test]
fn a_socket_call_by_the_other_door_fares_alike() {
    let varied = varied();
    let socketcall = |selector| verdict(&varied, Abi::X86, "socketcall", [selector, 0, 0, 0, 0, 0]);
    assert_eq!([1, 2, 3, 5].map(socketcall), [ALLOW, ALLOW, 0x8000_0000, ALLOW]);
    assert_eq!(verdict(&varied, Abi::X86, "ipc", [14, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(verdict(&varied, Abi::X86, "ipc", [13, 0, 0, 0, 0, 0]), 0x8000_0000);
}

#[test]
fn unknown_names_are_reported_and_nothing_else() {
    let calls = json!([{"names": ["read", "read2", "s390_pci_mmio_read"], "action": "SCMP_ACT_LOG"}]);
    let filter = compile(&profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": calls}))).unwrap();
    assert_eq!(filter.unknown, ["read2", "s390_pci_mmio_read"]);
}

fn flags(json: &Value) -> u32 {
    let mut whole = json!({"defaultAction": "SCMP_ACT_ALLOW"});
    whole.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
    compile(&profile(whole)).unwrap().flags
}

#[test]
fn flags_are_those_of_the_profile() {
    assert_eq!(flags(&json!({})), 4, "as in runc, speculation is not slowed down");
    assert_eq!(flags(&json!({"flags": []})), 0);
    assert_eq!(flags(&json!({"flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]})), 3);
    assert_eq!(flags(&json!({"flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]})), 0, "without a listener");
}

#[test]
fn a_listener_has_flags_of_its_own() {
    let listening = |flags: Value| {
        let notify = json!([{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]);
        let json = json!({"syscalls": notify, "flags": flags, "listenerPath": "/run/a", "listenerMetadata": "m"});
        self::flags(&json)
    };
    assert_eq!(listening(json!([])), 8);
    assert_eq!(listening(json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"])), 8 | 32);
    assert_eq!(listening(json!(["SECCOMP_FILTER_FLAG_TSYNC"])), 8 | 1 | 16);
}

#[test]
fn the_listener_is_there_only_for_rules_that_notify() {
    let with = |action: &str| {
        let rules = json!([{"names": ["mount"], "action": action}]);
        let json = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules, "listenerPath": "/run/a", "listenerMetadata": "m"});
        compile(&profile(json)).unwrap().listener
    };
    assert_eq!(with("SCMP_ACT_NOTIFY"), Some(Listener { path: "/run/a".into(), metadata: "m".into() }));
    assert_eq!(with("SCMP_ACT_LOG"), None);
}

fn refusal(json: Value) -> String {
    compile(&profile(json)).unwrap_err().to_string()
}

/// The refusal of a profile with one rule, as the second of two.
fn rule_refusal(rule: &Value) -> String {
    let first = json!({"names": ["read"], "action": "SCMP_ACT_LOG"});
    refusal(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [first, rule], "listenerPath": "/run/a"}))
}

#[test]
fn refuses_an_errno_that_the_action_does_not_take() {
    assert_eq!(
        refusal(json!({"defaultAction": "SCMP_ACT_KILL", "defaultErrnoRet": 38})),
        "linux.seccomp.defaultErrnoRet: SCMP_ACT_KILL has no errno to return (SCMP_ACT_ERRNO and SCMP_ACT_TRACE have)"
    );
    assert_eq!(
        rule_refusal(&json!({"names": ["mount"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1})),
        "linux.seccomp.syscalls[1].errnoRet: SCMP_ACT_ALLOW has no errno to return (SCMP_ACT_ERRNO and SCMP_ACT_TRACE have)"
    );
    assert_eq!(
        rule_refusal(&json!({"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096})),
        "linux.seccomp.syscalls[1].errnoRet: 4096 is too large for SCMP_ACT_ERRNO, whose limit is 4095"
    );
    assert_eq!(
        rule_refusal(&json!({"names": ["mount"], "action": "SCMP_ACT_TRACE", "errnoRet": 65536})),
        "linux.seccomp.syscalls[1].errnoRet: 65536 is too large for SCMP_ACT_TRACE, whose limit is 65535"
    );
}

#[test]
fn refuses_an_argument_that_no_call_has() {
    let args = json!([{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]);
    assert_eq!(
        rule_refusal(&json!({"names": ["mount"], "action": "SCMP_ACT_LOG", "args": args})),
        "linux.seccomp.syscalls[1].args[1].index: 6 is no argument of a system call, which are 0 to 5"
    );
}

#[test]
fn refuses_rules_about_nothing() {
    assert_eq!(
        rule_refusal(&json!({"names": [], "action": "SCMP_ACT_LOG"})),
        "linux.seccomp.syscalls[1].names: needs at least one name"
    );
    assert_eq!(
        rule_refusal(&json!({"names": ["mount", ""], "action": "SCMP_ACT_LOG"})),
        "linux.seccomp.syscalls[1].names[1]: an empty string is not a valid syscall"
    );
}

#[test]
fn refuses_to_notify_where_nobody_could_answer() {
    assert_eq!(
        refusal(json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/run/a"})),
        "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action \
         (the runtime's own calls would wait for an agent that has not got the listener yet)"
    );
    for name in ["write", "sendmsg"] {
        assert_eq!(
            rule_refusal(&json!({"names": ["mount", name], "action": "SCMP_ACT_NOTIFY"})),
            format!(
                "linux.seccomp.syscalls[1].names[1]: SCMP_ACT_NOTIFY cannot be used for the {name} syscall \
                 (the runtime needs it to hand over the listener, without which nobody could answer)"
            )
        );
    }
    let rules = json!([{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]);
    assert_eq!(
        refusal(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})),
        "linux.seccomp.listenerPath: is required, as syscalls[0] has the action SCMP_ACT_NOTIFY"
    );
    assert_eq!(
        refusal(json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "m"})),
        "linux.seccomp.listenerMetadata: must not be set without listenerPath"
    );
}

/// Rules for one call, each about another value of each argument.
fn long_profile(rules: u64) -> Value {
    let args =
        |value: u64| (0..6).map(|i| json!({"index": i, "value": value, "op": "SCMP_CMP_EQ"})).collect::<Vec<_>>();
    let rules: Vec<_> =
        (0..rules).map(|v| json!({"names": ["ioctl"], "action": "SCMP_ACT_LOG", "args": args(v)})).collect();
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})
}

#[test]
fn the_kernels_limit_is_an_error_and_below_it_all_jumps_reach() {
    let almost = profile(long_profile(160));
    let length = program(Abi::X86_64, &almost).len();
    assert!((4000..=MAX_INSTRUCTIONS).contains(&length), "{length}");
    agree(&almost, Abi::X86_64, &mut Random::Seeded(1), 2000);
    let refusal = refusal(long_profile(170));
    assert!(refusal.starts_with("linux.seccomp: compiles to 42"), "{refusal}");
    assert!(refusal.contains("the kernel takes 4096 at most"), "{refusal}");
}

#[test]
fn features_are_named_as_the_spec_does() {
    assert_eq!((actions().len(), operators().len()), (9, 7));
    for action in actions() {
        let rules = json!([{"names": ["mount"], "action": action}]);
        let json = json!({"defaultAction": "SCMP_ACT_KILL", "syscalls": rules, "listenerPath": "/run/a"});
        assert!(compile(&profile(json)).is_ok(), "{action}");
    }
    for op in operators() {
        let args = json!([{"index": 0, "value": 1, "op": op}]);
        let rules = json!([{"names": ["mount"], "action": "SCMP_ACT_LOG", "args": args}]);
        assert!(compile(&profile(json!({"defaultAction": "SCMP_ACT_KILL", "syscalls": rules}))).is_ok(), "{op}");
    }
    assert_eq!(architectures()[0], "SCMP_ARCH_X86_64");
    assert_eq!(known_flags().len(), 4);
    assert_eq!(supported_flags(|bit| bit == 4), ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]);
}

/// x32 has numbers of its own, told from those of x86-64 by a bit.
#[test]
fn x32_is_not_x86_64() {
    let rules = json!([{"names": ["execve"], "action": "SCMP_ACT_LOG"}]);
    let arches = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"]);
    let profile = profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": arches, "syscalls": rules}));
    let verdict = |nr| run(&program(Abi::X86_64, &profile), &Data { nr, arch: Abi::X32.audit(), args: [0; 6] }).value;
    assert_eq!([59, 520, X32_BIT + 59, X32_BIT + 520].map(verdict), [0x7ffc_0000, ALLOW, ALLOW, 0x7ffc_0000]);
}
