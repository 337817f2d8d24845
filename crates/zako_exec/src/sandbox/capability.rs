//! What a machine gives a sandbox, found out by building one around a program that does nothing.
//!
//! It must never decide what to do without: it says what is missing, why, and what would give it.
//!
//! **Invariant:** nothing is guessed from versions: what is said to work has worked.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use nix::libc;
use tokio_util::sync::CancellationToken;
use zako_action::{ActionBody, ActionSpec, Exit, Isolation, Job, Prepared};

use super::{INSIDE_TMP, Sandbox};
use crate::input_root::remove_all;
use crate::process::{FIXED_PATH, Process, ProcessError, find_program};

/// Something that a machine does not give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Lack {
    /// What is missing, and why.
    pub what: String,
    /// What to do to have it.
    pub cure: String,
}

/// What a machine gives, by level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Why [`Isolation::Enhanced`] can't be had, if so.
    pub enhanced: Result<(), Lack>,
    /// Why [`Isolation::Maximum`] can't be had, if so.
    pub maximum: Result<(), Lack>,
    /// Why limits of memory and processes for whole actions (by cgroup) can't be had. No level depends on it.
    pub cgroup: Result<PathBuf, Lack>,
}

impl Capabilities {
    /// The strongest level that actions have by themselves: `enhanced`, or else `basic`.
    #[must_use]
    pub fn best(&self) -> Isolation {
        match self.enhanced {
            Ok(()) => Isolation::Enhanced,
            Err(_) => Isolation::Basic,
        }
    }

    /// Why a level can't be had.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self, level: Isolation) -> Result<(), &Lack> {
        match level {
            Isolation::None | Isolation::Basic => Ok(()),
            Isolation::Enhanced => self.enhanced.as_ref().copied(),
            Isolation::Maximum => self.enhanced.as_ref().and(self.maximum.as_ref()).copied(),
        }
    }
}

/// Finds out what can be had for scratch folders in `home`, a folder of its own that may be made and is removed. Blocks for
/// some milliseconds.
#[must_use]
pub fn capabilities(home: &Path) -> Capabilities {
    let sandbox = Sandbox::new(home, None);
    let found = Capabilities {
        enhanced: sandbox.check(Isolation::Enhanced),
        maximum: sandbox.check(Isolation::Maximum),
        cgroup: cgroup(),
    };
    if let Err(error) = sandbox.clear() {
        tracing::debug!(%error, "what was probed is still there");
    }
    found
}

/// What was found out once.
#[derive(Debug, Default)]
pub(super) struct Probed {
    enhanced: OnceLock<Result<(), Lack>>,
    maximum: OnceLock<Result<(), Lack>>,
}

impl Sandbox {
    /// Whether a level can be had here; found out once for each level, by building walls around a program. Blocks for some
    /// milliseconds the first time.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self, level: Isolation) -> Result<(), Lack> {
        let probed = &self.shared.probed;
        let probe = || probe(self, level);
        match level {
            Isolation::None | Isolation::Basic => Ok(()),
            Isolation::Enhanced => probed.enhanced.get_or_init(probe).clone(),
            Isolation::Maximum => probed.maximum.get_or_init(probe).clone(),
        }
    }
}

/// Builds the walls of `level` around `true`.
fn probe(sandbox: &Sandbox, level: Isolation) -> Result<(), Lack> {
    let lack = |what: String| Lack {
        what,
        cure: "look at the message; `zako doctor` tries again".to_owned(),
    };
    let Some(program) = find_program("true", FIXED_PATH) else {
        return Err(lack(format!("there is no program `true` in {FIXED_PATH}")));
    };
    let home = &sandbox.shared.home;
    let io = |error: std::io::Error| lack(format!("{} cannot be used: {error}", home.display()));
    std::fs::create_dir_all(home).map_err(io)?;
    let dir = tempfile::Builder::new()
        .prefix("probe-")
        .tempdir_in(home)
        .map_err(io)?;
    let scratch = dir.path().join("1");
    std::fs::create_dir_all(scratch.join("tmp")).map_err(io)?;
    let argv = vec![program.display().to_string()];
    let spec = ActionSpec::new("probe", "probe", ActionBody::Command { argv });
    let action = Prepared {
        spec: Arc::new(spec),
        inputs: Default::default(),
        staged: Default::default(),
        tools: Vec::new(),
        salt: String::new(),
        isolation: level,
    };
    let job = Job {
        action: Arc::new(action),
        workspace: dir.path().into(),
        scratch,
        attempt: 0,
    };
    let walls = sandbox
        .walls(&job, None)
        .map_err(|error| lack(error.to_string()))?;
    let mut process = Process::new(program, super::INSIDE_WORKSPACE);
    process
        .env
        .insert("TMPDIR".to_owned(), INSIDE_TMP.to_owned());
    process.walls = Some(Arc::new(walls));
    // A runtime of its own, on a thread of its own: who asks may be inside of one, or have none.
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let ended = runtime.map_err(io)?.block_on(process.run(
            &mut |_, _| ControlFlow::Continue(()),
            &CancellationToken::new(),
        ));
        match ended {
            Ok(finished) if finished.exit == Exit::Code(0) => Ok(()),
            Ok(finished) => Err(lack(format!(
                "`true` ended with {:?} in a sandbox",
                finished.exit
            ))),
            Err(error) => Err(explain(&error)),
        }
    };
    let ended = std::thread::scope(|scope| scope.spawn(run).join());
    // The overlay leaves a folder that nobody may look into.
    if let Err(error) = remove_all(dir.path()) {
        tracing::debug!(%error, "what was probed is still there");
    }
    ended.unwrap_or_else(|_| Err(lack("the probe panicked".to_owned())))
}

fn explain(error: &ProcessError) -> Lack {
    let what = error.to_string();
    let ProcessError::Spawn { source, .. } = error else {
        let cure = "this should not happen: please report it".to_owned();
        return Lack { what, cure };
    };
    let wall = source
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<WallError>());
    let cure = wall.map_or("it needs Linux 5.12 or newer", WallError::cure);
    Lack {
        what: wall.map_or(what, ToString::to_string),
        cure: cure.to_owned(),
    }
}

/// Why walls could not be built.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub(crate) struct WallError {
    /// What could not be done.
    pub(crate) what: String,
    /// What kind of thing that is.
    pub(crate) piece: Piece,
    pub(crate) source: std::io::Error,
}

/// What a wall is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Namespaces,
    Proc,
    Overlay,
    Filter,
    Mounts,
}

impl WallError {
    fn cure(&self) -> &'static str {
        let is_set = |path: &str, value: &str| {
            std::fs::read_to_string(path).is_ok_and(|text| text.trim() == value)
        };
        if is_set("/proc/sys/kernel/unprivileged_userns_clone", "0") {
            return "allow user namespaces: `sysctl -w kernel.unprivileged_userns_clone=1`";
        }
        if is_set("/proc/sys/user/max_user_namespaces", "0") {
            return "allow user namespaces: `sysctl -w user.max_user_namespaces=10000`";
        }
        if is_set(
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
        ) {
            return "allow user namespaces: `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or an AppArmor profile for zako with `userns,`";
        }
        let is_refused = self.source.raw_os_error() == Some(libc::EPERM);
        match self.piece {
            Piece::Namespaces if is_refused => {
                "a container forbids it: run it with `--security-opt seccomp=unconfined`, or with a profile that allows `clone3` and `mount`"
            }
            Piece::Namespaces => {
                "it needs a kernel with user, mount, PID and network namespaces, Linux 5.12 or newer"
            }
            Piece::Proc => {
                "parts of /proc are hidden, as containers do: run it with `--security-opt systempaths=unconfined` (podman: `unmask=ALL`)"
            }
            Piece::Overlay => {
                "it needs overlayfs in user namespaces (Linux 5.11 or newer), with the workspace on a local file system that is no overlay itself"
            }
            Piece::Filter => "it needs a kernel with seccomp filters",
            Piece::Mounts => "it needs Linux 5.12 or newer, and a container that allows `mount`",
        }
    }
}

/// A cgroup (version 2) that we may make children of, with the controllers for memory and processes.
fn cgroup() -> Result<PathBuf, Lack> {
    let lack = |what: &str| Lack {
        what: what.to_owned(),
        cure: "run zako in a delegated cgroup, as by `systemd-run --user --scope -p Delegate=yes`"
            .to_owned(),
    };
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
    let own = own.ok_or_else(|| lack("there are no cgroups of version 2"))?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounted = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    });
    let place = mounted
        .ok_or_else(|| lack("cgroups of version 2 are not mounted"))?
        .join(own);
    let controllers = std::fs::read_to_string(place.join("cgroup.controllers")).unwrap_or_default();
    let has = |name: &str| controllers.split_whitespace().any(|found| found == name);
    if !has("memory") || !has("pids") {
        return Err(lack(
            "the cgroup that zako runs in has no controllers for memory and processes",
        ));
    }
    let may_write = rustix::fs::access(&place, rustix::fs::Access::WRITE_OK);
    may_write.map_err(|_| lack("the cgroup that zako runs in is not its own to divide"))?;
    Ok(place)
}
