//! Walls around actions: what an action sees is its declared inputs, the machine's programs, and nothing else.
//!
//! Inside, the action is process 2 of its own PID namespace, user 1000 of its own user namespace, and its root is made of a
//! read-only base (`base`), the toolchains that it declares (`toolchain`), a private `/tmp`, and its inputs at
//! [`INSIDE_WORKSPACE`] (`layer`), over which lies an empty folder that takes all that it writes: an overlay mount. Outputs
//! are collected there; the rest is thrown away.
//!
//! It must never know how actions are admitted or cached.
//!
//! **Invariants:**
//! - Nothing that an action does reaches the workspace, another action's inputs or the store, but by its declared outputs.
//! - What is missing on a machine is an error with its cure, never a weaker wall.

pub(crate) mod base;
mod capability;
mod filter;
mod layer;
mod settle;
mod toolchain;
mod walls;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::libc;
use zako_action::{ArtifactValue, ExecuteError, Isolation, Job, ToolRef};
use zako_path::NeutralPath;

use crate::input_root::{InputRoot, io_error, remove_all};

pub use base::INSIDE_WORKSPACE;
pub use capability::{Capabilities, Lack, capabilities};
pub(crate) use capability::{Piece, WallError};
pub use layer::SandboxCounts;
pub(crate) use settle::settle_links;
pub(crate) use walls::Walls;

use layer::{Group, Layers};
use walls::{Apart, WallsBuilder, below_root};

/// The folder for temporary files inside.
pub const INSIDE_TMP: &str = "/tmp";

/// What the sandboxes of one build share: layers of inputs and views of the machine. Clones share them too.
#[derive(Clone, Debug)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    home: PathBuf,
    layers: Layers,
    skeletons: base::Skeletons,
    probed: capability::Probed,
}

/// The folders of one action behind walls, below its scratch folder.
#[derive(Clone, Debug)]
pub(crate) struct Rooms {
    /// What it writes: the shape of the workspace.
    pub(crate) written: PathBuf,
    own: PathBuf,
    work: PathBuf,
    root: PathBuf,
}

impl Rooms {
    pub(crate) fn of(scratch: &Path) -> Self {
        let root = scratch.join("root");
        Self {
            written: root.join("up"),
            own: root.join("own"),
            work: root.join("work"),
            root,
        }
    }
}

/// Where what an action wrote at [`Isolation::Enhanced`] and above lies, in the shape of the workspace, as long as its
/// scratch folder is there.
#[must_use]
pub fn written_below(scratch: &Path) -> PathBuf {
    Rooms::of(scratch).written
}

impl Sandbox {
    /// For a build whose scratch folders are on the same file system as the folder `home`, which is its own to make and
    /// clear. What actions built lies below `outputs` of the workspace, if that is known.
    #[must_use]
    pub fn new(home: impl Into<PathBuf>, outputs: Option<NeutralPath>) -> Self {
        let home = home.into();
        let shared = Shared {
            layers: Layers::new(&home, outputs),
            skeletons: base::Skeletons::new(&home),
            probed: capability::Probed::default(),
            home,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// What was shared so far.
    #[must_use]
    pub fn counts(&self) -> SandboxCounts {
        self.shared.layers.counts()
    }

    /// Removes all that is kept on disk, when no action runs. Blocks.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn clear(&self) -> Result<(), ExecuteError> {
        remove_all(&self.shared.home)
    }

    /// Makes everything ready for `job`, whose scratch folder has its `tmp` and nothing else. Blocks.
    pub(crate) fn walls(&self, job: &Job) -> Result<Walls, ExecuteError> {
        let action = &job.action;
        let spec = &action.spec;
        let rooms = Rooms::of(&job.scratch);
        let none = rooms.root.join("none");
        for room in [&rooms.root, &rooms.written, &rooms.work, &none] {
            fs::create_dir(room).map_err(io_error("create", room))?;
        }
        let tools = tools(job);
        let groups = [
            action.inputs.iter().collect::<Group<'_>>(),
            action.staged.iter().collect::<Group<'_>>(),
            tools.iter().map(|(path, value)| (path, value)).collect(),
        ];
        let laid = self
            .shared
            .layers
            .lay(&job.workspace, &groups, &rooms.own)?;
        let lower: Vec<PathBuf> = laid
            .layers
            .iter()
            .map(|layer| self.shared.layers.folder().join(layer))
            .chain(laid.has_own.then(|| rooms.own.clone()))
            .collect();
        InputRoot::make_room(spec, &rooms.written, &lower)?;

        let path = spec.env.get("PATH").map(String::as_str);
        let extras = toolchain::extras(&action.tools, path, &job.workspace);
        let network = spec.network;
        let skeleton = self.shared.skeletons.get(&extras, network)?;
        let root = &skeleton.root;
        let built = (|| {
            let mut walls = WallsBuilder::new();
            let tmp = job.scratch.join("tmp");
            let inside_tmp = root.join(below_root(Path::new(INSIDE_TMP)));
            walls.bind(root, root)?;
            let is_temporary = |target: &Path| target.starts_with(&inside_tmp);
            for (source, target) in skeleton.binds.iter().filter(|(_, at)| !is_temporary(at)) {
                walls.bind(source, target)?;
            }
            walls.read_only(root)?;
            let quiet = libc::MS_NOSUID | libc::MS_NODEV;
            walls.file_system("proc", &root.join("proc"), quiet | libc::MS_NOEXEC, None)?;
            walls.file_system("tmpfs", &root.join("dev/shm"), quiet, Some("mode=1777"))?;
            walls.bind(&tmp, &inside_tmp)?;
            for (source, target) in skeleton.binds.iter().filter(|(_, at)| is_temporary(at)) {
                // A toolchain in the machine's own folder for temporary files.
                let below = target.strip_prefix(&inside_tmp).unwrap_or(target);
                make_place(source, &tmp.join(below))?;
                walls.bind(source, target)?;
                walls.read_only(target)?;
            }
            let inside = root.join(below_root(Path::new(INSIDE_WORKSPACE)));
            // Names in the options are relative, so that nothing in them has to be escaped and they fit a page.
            walls.enter(&rooms.root)?;
            let mut options = String::from("userxattr,volatile,upperdir=up,workdir=work,lowerdir=");
            let own = laid.has_own.then(|| "own".to_owned());
            let folder = relative(self.shared.layers.folder(), &rooms.root)?;
            let layers = laid.layers.iter().map(|name| format!("{folder}/{name}"));
            let names: Vec<String> = own.into_iter().chain(layers).collect();
            match names.is_empty() {
                true => options.push_str("none"),
                false => options.push_str(&names.join(":")),
            }
            walls.file_system("overlay", &inside, quiet, Some(&options))?;
            for path in &laid.shown {
                let place = path.to_os_path(&inside);
                walls.bind(&path.to_os_path(&job.workspace), &place)?;
                walls.read_only(&place)?;
            }
            walls.enter(root)?;
            walls.pivot();
            let maximum = action.isolation >= Isolation::Maximum;
            let apart = Apart {
                network: !network,
                ipc: maximum,
            };
            let filters = if maximum { filter::programs()? } else { Vec::new() };
            Ok(walls.finish(apart, filters))
        })();
        built.map_err(io_error("plan the sandbox in", &rooms.root))
    }
}

/// Makes an empty file or folder where `source` will be shown.
fn make_place(source: &Path, place: &Path) -> std::io::Result<()> {
    if source.is_dir() {
        return fs::create_dir_all(place);
    }
    place.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(place, "")
}

/// The path from the folder `from` to `to`, as mount options can have it.
fn relative(to: &Path, from: &Path) -> std::io::Result<String> {
    let shared = to.components().zip(from.components());
    let shared = shared.take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| Path::new(".."));
    let down = to.components().skip(shared).map(|name| Path::new(name.as_os_str()));
    let path: PathBuf = up.chain(down).collect();
    match path.to_str() {
        Some(text) if !text.contains([',', ':', '\\', '"']) => Ok(text.to_owned()),
        _ => Err(std::io::Error::other(format!(
            "its name has characters that mount options cannot have: {}",
            path.display()
        ))),
    }
}

/// Files of the workspace that the action runs, with their values.
fn tools(job: &Job) -> Vec<(NeutralPath, ArtifactValue)> {
    let action = &job.action;
    let declared = action.spec.tools.iter().filter_map(|tool| match tool {
        ToolRef::Artifact(path) => Some(path),
        ToolRef::Host(_) => None,
    });
    let found = declared.filter_map(|path| {
        let is_it = |tool: &&zako_action::ResolvedTool| tool.path == Path::new(path.as_str());
        let tool = action.tools.iter().find(is_it)?;
        let value = ArtifactValue::File {
            digest: tool.digest,
            executable: true,
        };
        Some((path.clone(), value))
    });
    found.filter(|(path, _)| action.value(path).is_none()).collect()
}
