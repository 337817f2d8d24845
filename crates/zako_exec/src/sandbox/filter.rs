//! System calls that are refused at the level `maximum`: those that reach into other processes or into the kernel's own
//! set-up, which no build step needs.
//!
//! It must never know processes or actions: it makes instructions for the kernel's filter.

use std::collections::BTreeMap;
use std::io;

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

/// Refused with EPERM.
const REFUSED: &[libc::c_long] = &[
    // Other processes' memory.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    // The kernel itself, its keys, programs and counters.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    // Its work is done in the kernel, past any filter.
    libc::SYS_io_uring_setup,
];

/// Answered as by a kernel that has them not, so that the C library takes an older call, whose flags can be looked at.
const UNKNOWN: &[libc::c_long] = &[libc::SYS_clone3];

/// Flags of clone(2) that are refused.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// The filters, each a list of instructions as the kernel has them. All of them count.
pub(super) fn programs() -> io::Result<Vec<Vec<u64>>> {
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let makes_namespace = NAMESPACES.map(|flag| {
        let flag = flag as u64;
        let argument = SeccompCmpArgLen::Qword;
        let asks = SeccompCondition::new(0, argument, SeccompCmpOp::MaskedEq(flag), flag)?;
        SeccompRule::new(vec![asks])
    });
    let rules: Result<Vec<_>, BackendError> = makes_namespace.into_iter().collect();
    refused.insert(libc::SYS_clone, rules.map_err(io::Error::other)?);
    let unknown = UNKNOWN.iter().map(|call| (*call, Vec::new())).collect();
    Ok(vec![
        program(refused, libc::EPERM)?,
        program(unknown, libc::ENOSYS)?,
    ])
}

fn program(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> io::Result<Vec<u64>> {
    let architecture: TargetArch = std::env::consts::ARCH
        .try_into()
        .map_err(io::Error::other)?;
    let answer = SeccompAction::Errno(errno as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, architecture);
    let program: BpfProgram = filter
        .map_err(io::Error::other)?
        .try_into()
        .map_err(|error: BackendError| io::Error::other(error))?;
    let instruction = |one: &seccompiler::sock_filter| {
        let [a, b] = one.code.to_ne_bytes();
        let [c, d, e, f] = one.k.to_ne_bytes();
        u64::from_ne_bytes([a, b, one.jt, one.jf, c, d, e, f])
    };
    Ok(program.iter().map(instruction).collect())
}
