//! The words of the command line: every command and flag, as the parser and the help know them.
//!
//! A value that means something only in its context stays a word here and is settled by the parent module. Comments on
//! `///` lines are what `--help` prints.

use std::ffi::OsString;

use clap::{Args, CommandFactory, Parser, Subcommand};

use super::argv::boolean;
use crate::features;

/// Open Container Initiative runtime: turns a bundle (a config.json and a root file system) into a running container
#[derive(Parser)]
#[command(
    name = "orlop",
    bin_name = "orlop",
    args_override_self = true,
    disable_version_flag = true,
    version = features::VERSION,
    override_usage = "orlop [GLOBAL OPTIONS] <COMMAND> [OPTIONS]",
    after_help = "To run a bundle by hand:  orlop run path/to/bundle/"
)]
pub(super) struct Line {
    /// print the version
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    pub(super) version: Option<bool>,
    #[command(flatten)]
    pub(super) global: Global,
}

impl Line {
    /// The definitions of all commands.
    pub(super) fn with_all() -> clap::Command {
        Words::augment_subcommands(Self::command())
    }

    /// The definitions of one command, if there is such a one, and of what may stand before it. The others, which have no flags yet,
    /// are thrown away before the parser gives each of them a copy of the global flags, the costly part.
    pub(super) fn with_one(command: Option<&str>) -> clap::Command {
        let one = command.and_then(|name| {
            Words::augment_subcommands(clap::Command::default()).find_subcommand_mut(name).map(std::mem::take)
        });
        Self::command().subcommands(one)
    }
}

#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// enable debug logging
    #[arg(long, global = true)]
    pub(super) debug: bool,
    /// the file to append failures to; standard error by default
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) log: Option<OsString>,
    /// the form of the log: text (default) or json
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(super) log_format: Option<OsString>,
    #[arg(long, global = true, hide = true)]
    pub(super) log_level: Option<OsString>,
    /// the directory that holds the state of containers [default: /run/orlop]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) root: Option<OsString>,
    /// put containers into systemd's scopes; cgroupsPath is then "slice:prefix:name"
    #[arg(long, global = true)]
    pub(super) systemd_cgroup: bool,
    /// write down when each step began and ended: a trace for ui.perfetto.dev; "-" prints a table
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) timeline: Option<OsString>,
    #[arg(long, global = true, hide = true)]
    pub(super) cgroup_manager: Option<OsString>,
    /// accepted and without effect: true, false or auto
    #[arg(id = "ignore-cgroup-errors", long = "rootless", value_name = "WHEN")]
    pub(super) rootless: Option<OsString>,
}

#[derive(Subcommand)]
#[command(defer = true)]
pub(super) enum Words {
    /// create a container
    #[command(
        override_usage = "orlop create [OPTIONS] <container-id>",
        after_help = "To have it wait for its start:  orlop create --bundle path/to/bundle web"
    )]
    Create(Creation),
    /// start the program of a created container
    #[command(
        override_usage = "orlop start <container-id>",
        after_help = "The program of a created container:  orlop start web"
    )]
    Start(Names),
    /// print the state of a container
    #[command(override_usage = "orlop state <container-id>", after_help = "As JSON:  orlop state web")]
    State(Names),
    /// send a signal (default: SIGTERM) to the container's first process
    #[command(
        override_usage = "orlop kill <container-id> [signal]",
        after_help = "By name or number:  orlop kill web HUP"
    )]
    Kill {
        #[arg(long, short, hide = true)]
        all: bool,
        #[command(flatten)]
        names: Names,
    },
    /// delete what a container holds
    #[command(
        override_usage = "orlop delete [OPTIONS] <container-id>",
        after_help = "Whatever state it is in:  orlop delete --force web"
    )]
    Delete {
        /// kill the container if it still runs; do not mind if there is none
        #[arg(long, short)]
        force: bool,
        #[command(flatten)]
        names: Names,
    },
    /// create and start a container, and wait for its end
    #[command(
        override_usage = "orlop run [OPTIONS] <container-id>\n       orlop run [OPTIONS] <path/to/bundle/>",
        after_help = "A bundle, with an id made up:  orlop run path/to/bundle/"
    )]
    Run {
        #[command(flatten)]
        creation: Creation,
        /// do not wait for its end
        #[arg(long, short)]
        detach: bool,
        /// do not delete the container after its end
        #[arg(long)]
        keep: bool,
        /// leave it to the caller to reap processes that lost their parent
        #[arg(long)]
        no_subreaper: bool,
    },
    /// run one more process in a running container
    #[command(
        override_usage = "orlop exec [OPTIONS] <container-id> <command> [command options]\n       orlop exec [OPTIONS] --process <process.json> <container-id>",
        after_help = "A shell in a container:  orlop exec -t web sh"
    )]
    Exec(Box<Execution>),
    /// list the processes of a container
    #[command(
        override_usage = "orlop ps [OPTIONS] <container-id> [ps options]",
        after_help = "Other columns:  orlop ps web -o pid,user,args"
    )]
    Ps {
        /// table (default) or json
        #[arg(long, short)]
        format: Option<OsString>,
        #[command(flatten)]
        names: Names,
    },
    /// change what a container may use
    #[command(
        override_usage = "orlop update [OPTIONS] <container-id>\n       orlop update --resources <resources.json | -> <container-id>",
        after_help = "While it runs:  orlop update --memory 512M --cpu-quota 50000 web"
    )]
    Update(Box<Limits>),
    /// print what a container uses, as lines of JSON, and when it ran out of memory
    #[command(
        override_usage = "orlop events [OPTIONS] <container-id>",
        after_help = "What it uses at this moment:  orlop events --stats web"
    )]
    Events {
        /// how often to print, such as 500ms or 1m30s [default: 5s]
        #[arg(long, value_name = "DURATION")]
        interval: Option<OsString>,
        /// print once, and end
        #[arg(long)]
        stats: bool,
        #[command(flatten)]
        names: Names,
    },
    /// stop all processes of a container where they stand
    #[command(override_usage = "orlop pause <container-id>", after_help = "Until it is resumed:  orlop pause web")]
    Pause(Names),
    /// let the processes of a paused container go on
    #[command(override_usage = "orlop resume <container-id>", after_help = "After a pause:  orlop resume web")]
    Resume(Names),
    /// write a running container to files
    #[command(
        override_usage = "orlop checkpoint [OPTIONS] <container-id>",
        after_help = "And stop it:  orlop checkpoint --image-path /var/tmp/web web"
    )]
    Checkpoint(Box<Checkpointing>),
    /// make a container from what checkpoint wrote
    #[command(
        override_usage = "orlop restore [OPTIONS] <container-id>",
        after_help = "From the bundle that it had:  orlop restore --image-path /var/tmp/web --bundle path/to/bundle web"
    )]
    Restore(Box<Restoration>),
    /// mount into a running container, or take away what is mounted there
    #[command(
        override_usage = "orlop mounts add <container-id> <mounts.json>\n       orlop mounts remove <container-id> <mounts.json>",
        after_help = "The file has an array, as in config.json:  orlop mounts add web mounts.json"
    )]
    Mounts(Names),
    /// list the containers of the given root
    #[command(override_usage = "orlop list [OPTIONS]", after_help = "Only the ids:  orlop list --quiet")]
    List {
        /// table (default) or json
        #[arg(long, short)]
        format: Option<OsString>,
        /// print only the ids
        #[arg(long, short)]
        quiet: bool,
        #[command(flatten)]
        names: Names,
    },
    /// write a config.json to start from
    #[command(
        override_usage = "orlop spec [OPTIONS]",
        after_help = "Into a directory with a root file system in rootfs/:  orlop spec --bundle path/to/bundle"
    )]
    Spec {
        /// the directory to write it into [default: the current directory]
        #[arg(long, short, value_name = "DIR")]
        bundle: Option<OsString>,
        /// for a container that needs no root
        #[arg(long)]
        rootless: bool,
        #[command(flatten)]
        names: Names,
    },
    /// print a shell's completions: bash, zsh or fish
    #[command(
        override_usage = "orlop completion <shell>",
        after_help = "For bash:  orlop completion bash > /etc/bash_completion.d/orlop"
    )]
    Completion(Names),
    /// show what this runtime can do, as JSON
    #[command(override_usage = "orlop features", after_help = "For engines:  orlop features")]
    Features(Names),
}

// The words that are no flags. Their number is checked later, for the sake of runc's texts. (A doc comment would become
// part of the help.)
#[derive(Args, Default)]
pub(super) struct Names {
    #[arg(hide = true)]
    pub(super) names: Vec<OsString>,
}

#[derive(Args)]
pub(super) struct Creation {
    /// the directory of the bundle [default: the current directory]
    #[arg(long, short, value_name = "DIR")]
    pub(super) bundle: Option<OsString>,
    /// a socket that receives the terminal of the container
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<OsString>,
    /// a socket that receives a descriptor of the first process
    #[arg(long, value_name = "SOCKET")]
    pub(super) pidfd_socket: Option<OsString>,
    /// a file to write the process id into
    #[arg(long, value_name = "FILE")]
    pub(super) pid_file: Option<OsString>,
    /// move the root into place instead of pivoting, for a root on a ramdisk
    #[arg(long)]
    pub(super) no_pivot: bool,
    /// stay in the caller's session keyring
    #[arg(long)]
    pub(super) no_new_keyring: bool,
    /// pass that many more file descriptors on
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(super) preserve_fds: u32,
    #[command(flatten)]
    pub(super) names: Names,
}

/// What `checkpoint` and `restore` have both.
#[derive(Args)]
pub(super) struct Criu {
    /// the directory of the checkpoint [default: ./checkpoint]
    #[arg(long, value_name = "DIR")]
    pub(super) image_path: Option<OsString>,
    /// the directory for CRIU's own files and its log [default: that of the checkpoint]
    #[arg(long, value_name = "DIR")]
    pub(super) work_path: Option<OsString>,
    /// an earlier checkpoint, relative to the directory of this one
    #[arg(long, value_name = "PATH")]
    pub(super) parent_path: Option<OsString>,
    /// take open TCP connections along
    #[arg(long)]
    pub(super) tcp_established: bool,
    /// close TCP connections
    #[arg(long)]
    pub(super) tcp_close: bool,
    /// allow unix sockets that lead out of the container
    #[arg(long)]
    pub(super) ext_unix_sk: bool,
    /// allow a session and a terminal that come from outside
    #[arg(long)]
    pub(super) shell_job: bool,
    /// take file locks along
    #[arg(long)]
    pub(super) file_locks: bool,
    /// bring memory only when it is used
    #[arg(long)]
    pub(super) lazy_pages: bool,
    /// keep no page of memory twice in a series of checkpoints
    #[arg(long)]
    pub(super) auto_dedup: bool,
    /// how cgroups are treated: soft (default), full, strict or ignore
    #[arg(long, value_name = "MODE")]
    pub(super) manage_cgroups_mode: Option<OsString>,
    /// leave a namespace to be filled by somebody else: network
    #[arg(long, value_name = "KIND")]
    pub(super) empty_ns: Vec<OsString>,
    /// how packets are held up meanwhile: iptables, nftables or skip
    #[arg(long, value_name = "METHOD")]
    pub(super) network_lock: Option<OsString>,
    #[command(flatten)]
    pub(super) names: Names,
}

#[derive(Args)]
pub(super) struct Checkpointing {
    #[command(flatten)]
    pub(super) criu: Criu,
    /// let the container go on
    #[arg(long)]
    pub(super) leave_running: bool,
    /// write the memory alone, and let the container go on
    #[arg(long)]
    pub(super) pre_dump: bool,
    /// leave out TCP connections that are not established yet
    #[arg(long)]
    pub(super) tcp_skip_in_flight: bool,
    /// give files that lost their names new ones
    #[arg(long)]
    pub(super) link_remap: bool,
    /// send pages there
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(super) page_server: Option<OsString>,
    /// a file descriptor that gets a zero byte when lazy pages can be asked for
    #[arg(long, value_name = "FD")]
    pub(super) status_fd: Option<i32>,
}

#[derive(Args)]
pub(super) struct Restoration {
    #[command(flatten)]
    pub(super) criu: Criu,
    /// the directory of the bundle [default: the current directory]
    #[arg(long, short, value_name = "DIR")]
    pub(super) bundle: Option<OsString>,
    /// a socket that receives the terminal of the container
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<OsString>,
    /// a file to write the process id into
    #[arg(long, value_name = "FILE")]
    pub(super) pid_file: Option<OsString>,
    /// do not wait for its end
    #[arg(long, short)]
    pub(super) detach: bool,
    /// leave it to the caller to reap processes that lost their parent
    #[arg(long)]
    pub(super) no_subreaper: bool,
    /// accepted and without effect: CRIU makes the root
    #[arg(long)]
    pub(super) no_pivot: bool,
    /// stay in the caller's session keyring
    #[arg(long)]
    pub(super) no_new_keyring: bool,
    /// the security module's profile of processes
    #[arg(long, value_name = "TYPE:NAME")]
    pub(super) lsm_profile: Option<OsString>,
    #[arg(long, value_name = "CONTEXT", help = "the SELinux context of mounts")]
    pub(super) lsm_mount_context: Option<OsString>,
}

#[derive(Args)]
pub(super) struct Limits {
    /// a file as linux.resources, or - for standard input; the rest is ignored then
    #[arg(long, short, value_name = "FILE")]
    pub(super) resources: Option<OsString>,
    /// how much memory, such as 512M; -1 for no limit
    #[arg(long, value_name = "BYTES")]
    pub(super) memory: Option<OsString>,
    /// how much memory is left to it when memory is short
    #[arg(long, value_name = "BYTES")]
    pub(super) memory_reservation: Option<OsString>,
    /// how much memory and swap together; -1 for no limit
    #[arg(long, value_name = "BYTES")]
    pub(super) memory_swap: Option<OsString>,
    /// how many processes and threads; -1 for no limit
    #[arg(long, value_name = "N")]
    pub(super) pids_limit: Option<i64>,
    /// its share of the CPUs beside others, from 2 to 262144
    #[arg(long, value_name = "N")]
    pub(super) cpu_share: Option<OsString>,
    /// how many microseconds of CPU time in each period; -1 for no limit
    #[arg(long, value_name = "MICROSECONDS")]
    pub(super) cpu_quota: Option<OsString>,
    /// the length of a period
    #[arg(long, value_name = "MICROSECONDS")]
    pub(super) cpu_period: Option<OsString>,
    /// how much of the quota may be saved up
    #[arg(long, value_name = "MICROSECONDS")]
    pub(super) cpu_burst: Option<OsString>,
    /// 1 to run only when nobody else wants to, 0 as usual
    #[arg(long, value_name = "0|1")]
    pub(super) cpu_idle: Option<OsString>,
    #[arg(long, hide = true)]
    pub(super) cpu_rt_period: Option<OsString>,
    #[arg(long, hide = true)]
    pub(super) cpu_rt_runtime: Option<OsString>,
    /// which CPUs, such as 0-3,7
    #[arg(long, value_name = "LIST")]
    pub(super) cpuset_cpus: Option<OsString>,
    /// which memory nodes
    #[arg(long, value_name = "LIST")]
    pub(super) cpuset_mems: Option<OsString>,
    /// its weight at block devices beside others, from 10 to 1000
    #[arg(long, value_name = "N")]
    pub(super) blkio_weight: Option<i64>,
    #[arg(long, hide = true)]
    pub(super) kernel_memory: Option<OsString>,
    #[arg(long, hide = true)]
    pub(super) kernel_memory_tcp: Option<OsString>,
    /// the schema of Intel RDT for the L3 cache
    #[arg(long, value_name = "SCHEMA")]
    pub(super) l3_cache_schema: Option<OsString>,
    /// the schema of Intel RDT for memory bandwidth
    #[arg(long, value_name = "SCHEMA")]
    pub(super) mem_bw_schema: Option<OsString>,
    #[command(flatten)]
    pub(super) names: Names,
}

#[derive(Args)]
pub(super) struct Execution {
    /// a socket that receives the terminal of the process
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<OsString>,
    /// a socket that receives a descriptor of the process
    #[arg(long, value_name = "SOCKET")]
    pub(super) pidfd_socket: Option<OsString>,
    /// the directory to run in
    #[arg(long, value_name = "DIR")]
    pub(super) cwd: Option<OsString>,
    /// set a variable, NAME=VALUE
    #[arg(long, short, value_name = "ENV")]
    pub(super) env: Vec<OsString>,
    /// give it a terminal
    #[arg(long, short)]
    pub(super) tty: bool,
    /// run it as UID or UID:GID
    #[arg(long, short, value_name = "UID[:GID]")]
    pub(super) user: Option<OsString>,
    /// add a group
    #[arg(long, short = 'g', value_name = "GID")]
    pub(super) additional_gids: Vec<OsString>,
    /// a file that describes the process, as in config.json
    #[arg(long, short, value_name = "FILE")]
    pub(super) process: Option<OsString>,
    /// do not wait for its end
    #[arg(long, short)]
    pub(super) detach: bool,
    /// a file to write the process id into
    #[arg(long, value_name = "FILE")]
    pub(super) pid_file: Option<OsString>,
    #[arg(long, value_name = "LABEL", help = "the SELinux label of the process")]
    pub(super) process_label: Option<OsString>,
    #[arg(long, value_name = "PROFILE", help = "the AppArmor profile of the process")]
    pub(super) apparmor: Option<OsString>,
    /// let it gain no privileges by executing a program
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true,
          value_parser = truth, value_name = "BOOL")]
    pub(super) no_new_privs: Option<bool>,
    /// add a capability
    #[arg(long, short, value_name = "CAP")]
    pub(super) cap: Vec<OsString>,
    /// pass that many more file descriptors on
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(super) preserve_fds: u32,
    /// run it in a cgroup below the container's
    #[arg(long, value_name = "PATH")]
    pub(super) cgroup: Vec<OsString>,
    /// join a paused container too, and wait with it
    #[arg(long)]
    pub(super) ignore_paused: bool,
    #[command(flatten)]
    pub(super) names: Names,
}

fn truth(text: &str) -> Result<bool, String> {
    boolean(text.as_ref()).ok_or_else(|| "neither true nor false".into())
}
