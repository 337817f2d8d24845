//! From the command line to what the core needs: where zako stands, the shared state, the workspace.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use directories::BaseDirs;
use zako_core::{
    BuildOptions, Debugger, Diagnostic, GlobalState, GlobalStateOptions, Isolation, Profiler,
    Session,
};

use crate::arguments::{IsolationLevel, Options};
use crate::failure::io_failure;

/// The file that makes a folder a workspace.
const MANIFEST: &str = "zako.toml";

/// The folder that zako acts in, absolute: the current one, or `-C`'s.
pub(crate) fn start_of(options: &Options) -> Result<PathBuf, Diagnostic> {
    let here = std::env::current_dir().map_err(|error| {
        io_failure("find the current folder", &error)
            .with_help("it may be gone: change into one that exists")
    })?;
    let Some(directory) = &options.directory else {
        return Ok(here);
    };
    // Without `..`, so that the way up from it is the way through its parents.
    match here.join(directory).canonicalize() {
        Ok(start) if start.is_dir() => Ok(start),
        _ => {
            let message = format!("there is no folder `{}`", directory.display());
            Err(Diagnostic::user(message).with_help("-C names the folder to act in"))
        }
    }
}

/// The folder of the store that all workspaces share.
pub(crate) fn cache_dir_of(options: &Options, start: &Path) -> Result<PathBuf, Diagnostic> {
    if let Some(dir) = options
        .cache_dir
        .as_ref()
        .filter(|dir| !dir.as_os_str().is_empty())
    {
        return Ok(start.join(dir));
    }
    let Some(dirs) = BaseDirs::new() else {
        let error = Diagnostic::environment("there is no home folder to keep results in");
        return Err(
            error.with_help("set HOME, or name a folder with --cache-dir or ZAKO_CACHE_DIR")
        );
    };
    Ok(dirs.cache_dir().join("zako"))
}

/// How the shared state is made.
pub(crate) fn state_options_of(
    options: &Options,
    start: &Path,
) -> Result<GlobalStateOptions, Diagnostic> {
    let mut state = GlobalStateOptions::new(cache_dir_of(options, start)?);
    state.jobs = options.jobs.map(std::num::NonZeroU32::get);
    state.memory = options.memory;
    state.makeflags = std::env::var("MAKEFLAGS").ok();
    state.script_threads = options.script_threads.map(|n| n.get() as usize);
    if let Some(time) = options.script_timeout {
        state.script_limits.time = time;
    }
    if let Some(heap) = options.script_heap {
        state.script_limits.heap_bytes = usize::try_from(heap).unwrap_or(usize::MAX);
    }
    Ok(state)
}

/// A workspace that is open, and where zako stands in it.
pub(crate) struct Opened {
    /// The workspace.
    pub(crate) session: Session,
    /// The folder that zako acts in, absolute.
    pub(crate) start: PathBuf,
    package: String,
    isolation: Option<Isolation>,
    profile: Option<(Arc<Profiler>, PathBuf)>,
}

impl Opened {
    /// Opens the workspace around the folder that zako acts in.
    pub(crate) fn of(options: &Options) -> Result<Opened, Diagnostic> {
        Self::debugged(options, None)
    }

    /// The same, with a debugger for scripts.
    pub(crate) fn debugged(
        options: &Options,
        debugger: Option<Arc<Debugger>>,
    ) -> Result<Opened, Diagnostic> {
        let start = start_of(options)?;
        let state = GlobalStateOptions {
            debugger,
            ..state_options_of(options, &start)?
        };
        Self::with(state, start, options, Session::open, None)
    }

    /// Opens the workspace of one file, which will be evaluated; a file outside of any has its folder for one.
    pub(crate) fn for_file(options: &Options, file: &Path) -> Result<Opened, Diagnostic> {
        let start = start_of(options)?;
        let has_manifest = |folder: &Path| folder.join(MANIFEST).is_file();
        let folder = file.parent().unwrap_or(&start).to_owned();
        let state = GlobalStateOptions {
            warm_scripts: true,
            ..state_options_of(options, &start)?
        };
        if start.ancestors().any(has_manifest) || !folder.is_dir() {
            return Self::with(state, start, options, Session::open, None);
        }
        Self::with(state, start, options, Session::detached, Some(&folder))
    }

    /// Opens what is around `start`, or `folder`.
    fn with(
        mut state: GlobalStateOptions,
        start: PathBuf,
        options: &Options,
        open: impl FnOnce(Arc<GlobalState>, &Path) -> Result<Session, Diagnostic>,
        folder: Option<&Path>,
    ) -> Result<Opened, Diagnostic> {
        let isolation = options.isolation.map(isolation_of);
        let profile = options.script_profile.as_ref();
        let profile = profile.map(|file| (Arc::new(Profiler::default()), start.join(file)));
        state.profiler = profile.as_ref().map(|(profiler, _)| profiler.clone());
        let session = open(GlobalState::new(state)?, folder.unwrap_or(&start))?;
        let package = package_of(session.root(), &start)?;
        Ok(Opened {
            session,
            start,
            package,
            isolation,
            profile,
        })
    }

    /// Writes the profile of the scripts that ran, if one was asked for.
    pub(crate) fn write_profile(&self) -> Result<(), Diagnostic> {
        let Some((profiler, file)) = &self.profile else {
            return Ok(());
        };
        std::fs::write(file, profiler.take())
            .map_err(|error| io_failure(format!("write {}", file.display()), &error))
    }

    /// How a build of it is done.
    pub(crate) fn build_options(&self, options: &Options) -> BuildOptions {
        build_options(options, self.isolation, self.package.clone())
    }
}

/// How a build is done of the workspace at `root`, as seen from the folder `start`.
pub(crate) fn build_options_of(
    options: &Options,
    root: &Path,
    start: &Path,
) -> Result<BuildOptions, Diagnostic> {
    let isolation = options.isolation.map(isolation_of);
    Ok(build_options(options, isolation, package_of(root, start)?))
}

fn build_options(options: &Options, isolation: Option<Isolation>, package: String) -> BuildOptions {
    BuildOptions {
        keep_going: options.keep_going,
        config: options.config(),
        // What is not text can't be asked for.
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        profile: options.profile.clone(),
        check_determinism: options.check_determinism,
        locked: options.locked,
        offline: options.offline,
        isolation,
        package,
        ..BuildOptions::default()
    }
}

fn isolation_of(level: IsolationLevel) -> Isolation {
    match level {
        IsolationLevel::None => Isolation::None,
        IsolationLevel::Basic => Isolation::Basic,
        IsolationLevel::Enhanced => Isolation::Enhanced,
        IsolationLevel::Maximum => Isolation::Maximum,
    }
}

/// `start` below `root`, with `/`; empty for the root itself.
fn package_of(root: &Path, start: &Path) -> Result<String, Diagnostic> {
    // Either may have come by symbolic links.
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (root, start) = (real(root), real(start));
    let below = start.strip_prefix(&root).unwrap_or(Path::new(""));
    let parts: Option<Vec<&str>> = below.iter().map(|part| part.to_str()).collect();
    let parts = parts.ok_or_else(|| {
        Diagnostic::user(format!(
            "the folder `{}` has a name that is not UTF-8",
            start.display()
        ))
        .with_help("rename it, or start zako in another folder of the workspace")
    })?;
    Ok(parts.join("/"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::Arguments;

    fn options(line: &str) -> Options {
        Arguments::try_parse_from(line.split(' ')).unwrap().options
    }

    #[test]
    fn a_package_is_the_way_from_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        assert_eq!(package_of(dir.path(), &deep).unwrap(), "a/b");
        assert_eq!(package_of(dir.path(), dir.path()).unwrap(), "");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&deep, &link).unwrap();
        assert_eq!(package_of(dir.path(), &link).unwrap(), "a/b");
    }

    #[test]
    fn the_state_is_made_as_the_command_line_says() {
        let options = options(
            "zako build -j 3 --memory 1GiB --script-timeout 5s --script-heap 64MiB --cache-dir c",
        );
        let state = state_options_of(&options, Path::new("/w")).unwrap();
        assert_eq!(state.cache_dir, Path::new("/w/c"));
        assert_eq!((state.jobs, state.memory), (Some(3), Some(1 << 30)));
        assert_eq!(state.script_limits.time, std::time::Duration::from_secs(5));
        assert_eq!(state.script_limits.heap_bytes, 64 << 20);
    }

    #[test]
    fn a_missing_folder_is_wrong_input() {
        let error = start_of(&options("zako -C no/such/folder build")).unwrap_err();
        assert_eq!(
            (error.fault.exit_code(), error.message.as_str()),
            (2, "there is no folder `no/such/folder`")
        );
    }
}
