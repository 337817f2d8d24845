//! What a machine gives a sandbox, found out by building one around a program that does nothing.
//!
//! It must never decide what to do without: it says what is missing, why, and what would give it.
//!
//! **Invariant:** nothing is guessed from versions: what is said to work has worked.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use nix::libc;
use tokio_util::sync::CancellationToken;
use zako_action::{ActionBody, ActionSpec, Exit, Isolation, Job, OutputSpec, Prepared};
use zako_path::NeutralPath;

use super::Sandbox;
use crate::control_group::{ControlGroups, GroupLimits};
use crate::input_root::remove_all;
use crate::isolation::{Capabilities, Groups, INSIDE_TMP, INSIDE_WORKSPACE, Lack, Layering};
use crate::process::{FIXED_PATH, Process, ProcessError, find_program};

/// What a program that does nothing may use when limits are tried out.
const PROBED_BYTES: u64 = 64 << 20;
const PROBED_TASKS: u64 = 8;

/// Finds out what can be had for scratch folders in `home`, a folder of its own that may be made and is removed. Blocks for
/// some milliseconds.
#[must_use]
pub fn capabilities(home: &Path) -> Capabilities {
    let sandbox = Sandbox::new(home, None);
    let found = Capabilities {
        enhanced: sandbox.layering(),
        maximum: sandbox.check(Isolation::Maximum),
        groups: groups(),
    };
    if let Err(error) = sandbox.clear() {
        tracing::debug!(%error, "what was probed is still there");
    }
    found
}

/// What was found out once.
#[derive(Debug, Default)]
pub(super) struct Probed {
    enhanced: OnceLock<Result<Layering, Lack>>,
    maximum: OnceLock<Result<(), Lack>>,
}

impl Sandbox {
    /// Whether a level can be had here; found out once for each level, by building walls around a program. Blocks for some
    /// milliseconds the first time.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self, level: Isolation) -> Result<(), Lack> {
        match level {
            Isolation::None | Isolation::Basic => Ok(()),
            Isolation::Enhanced => self.layering().map(drop),
            Isolation::Maximum => {
                let layering = self.layering()?;
                let probe = || probe(self, level, layering).map_err(|(lack, _)| lack);
                self.shared.probed.maximum.get_or_init(probe).clone()
            }
        }
    }

    /// The best way in which inputs come in; found out once, as [`check`](Self::check) does.
    ///
    /// # Errors
    /// Why there can be no sandbox at all.
    pub fn layering(&self) -> Result<Layering, Lack> {
        let find = || {
            let all = [
                Layering::Overlay,
                Layering::OverlayInMemory,
                Layering::Copies,
            ];
            let forced = self.shared.layering.as_ref().map(std::slice::from_ref);
            let mut last = None;
            for layering in forced.unwrap_or(&all) {
                match probe(self, Isolation::Enhanced, *layering) {
                    Ok(()) => return Ok(*layering),
                    // Anything else would be missing the next time, too.
                    Err((lack, Some(Piece::Overlay))) => last = Some(lack),
                    Err((lack, _)) => return Err(lack),
                }
            }
            Err(last.unwrap_or_else(|| strange("nothing was tried".to_owned())))
        };
        self.shared.probed.enhanced.get_or_init(find).clone()
    }
}

fn strange(what: String) -> Lack {
    Lack {
        what,
        cure: "look at the message; `zako doctor` tries again".to_owned(),
    }
}

/// Builds the walls of `level` around `true`. An error is what is missing, and which piece of walls that is.
fn probe(
    sandbox: &Sandbox,
    level: Isolation,
    layering: Layering,
) -> Result<(), (Lack, Option<Piece>)> {
    let lack = |what: String| (strange(what), None);
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
    let mut spec = ActionSpec::new("probe", "probe", ActionBody::Command { argv });
    if let (Layering::Overlay, Ok(output)) = (layering, NeutralPath::new("out")) {
        // Beside everything, so that nothing can be written to memory.
        spec.outputs.push(OutputSpec::file(output));
    }
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
        .walls_by(layering, &job, None)
        .map_err(|error| lack(error.to_string()))?;
    let mut process = Process::new(program, INSIDE_WORKSPACE);
    process
        .env
        .insert("TMPDIR".to_owned(), INSIDE_TMP.to_owned());
    process.walls = Some(Arc::new(walls));
    let ended = match run(&process) {
        Ok((Exit::Code(0), _)) => Ok(()),
        Ok((exit, _)) => Err(lack(format!("`true` ended with {exit:?} in a sandbox"))),
        Err(error) => Err(explain(&error)),
    };
    // An overlay leaves a folder that nobody may look into.
    if let Err(error) = remove_all(dir.path()) {
        tracing::debug!(%error, "what was probed is still there");
    }
    ended
}

/// How a process ends, and what it says.
fn run(process: &Process) -> Result<(Exit, String), ProcessError> {
    let watch = |source| ProcessError::Watch {
        program: process.program.display().to_string(),
        source,
    };
    // A runtime of its own, on a thread of its own: who asks may be inside of one, or have none.
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let mut said = Vec::new();
        let mut receive = |_, bytes: &[u8]| {
            said.extend_from_slice(bytes);
            ControlFlow::Continue(())
        };
        let cancel = CancellationToken::new();
        let ended = process.run(&mut receive, &cancel);
        let finished = runtime.map_err(watch)?.block_on(ended)?;
        Ok((finished.exit, String::from_utf8_lossy(&said).into_owned()))
    };
    let ended = std::thread::scope(|scope| scope.spawn(run).join());
    ended.unwrap_or_else(|_| Err(watch(std::io::Error::other("it panicked"))))
}

/// What control groups give, tried out.
fn groups() -> Groups {
    let groups = ControlGroups::new();
    let mut found = groups.capabilities();
    if let (Ok(base), Some(cat)) = (&found.place, find_program("cat", FIXED_PATH)) {
        let limits = GroupLimits {
            memory: Some(PROBED_BYTES),
            tasks: PROBED_TASKS,
            cpu_millis: 1000,
        };
        let name = base.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("/{name}/");
        let check = |limits: Option<GroupLimits>| {
            let mut process = Process::new(&cat, "/");
            process.args = vec!["/proc/self/cgroup".into()];
            process.groups = Some((groups.clone(), limits));
            let said = run(&process).map_or_else(|error| error.to_string(), |(_, said)| said);
            let is_in = said
                .lines()
                .any(|line| line.starts_with("0::") && line.contains(&name));
            let lack = Lack {
                what: "processes can't be started in a control group of zako's".to_owned(),
                cure: "it needs Linux 5.7 or newer, and a container that allows `clone3`"
                    .to_owned(),
            };
            is_in.then_some(()).ok_or(lack)
        };
        found.limits = found.limits.and_then(|()| check(Some(limits)));
        found.place = check(None).map(|()| base.clone());
    }
    found
}

fn explain(error: &ProcessError) -> (Lack, Option<Piece>) {
    let what = error.to_string();
    let ProcessError::Spawn { source, .. } = error else {
        let cure = "this should not happen: please report it".to_owned();
        return (Lack { what, cure }, None);
    };
    let wall = source
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<WallError>());
    let cure = wall.map_or("it needs Linux 5.12 or newer", WallError::cure);
    let lack = Lack {
        what: wall.map_or(what, ToString::to_string),
        cure: cure.to_owned(),
    };
    (lack, wall.map(|wall| wall.piece))
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
