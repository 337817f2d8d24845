//! Walls around actions: what an action sees is its declared inputs, the machine's programs, and nothing else.
//!
//! Inside, the action is process 2 of its own PID namespace, user 1000 of its own user namespace, and its root is made of a
//! read-only base (`base`), the toolchains that it declares (`toolchain`), a private `/tmp`, and its inputs at
//! [`INSIDE_WORKSPACE`] (`layer`), over which lies an empty folder that takes all that it writes: an overlay mount, or where there
//! can be none what stands for it (`copies`). Outputs are collected there; the rest is thrown away.
//!
//! It must never know how actions are admitted or cached.
//!
//! **Invariants:**
//! - Nothing that an action does reaches the workspace, another action's inputs or the store, but by its declared outputs.
//! - What is missing on a machine is an error with its cure, never a weaker wall.

pub(crate) mod base;
mod capability;
mod copies;
mod filter;
mod layer;
mod settle;
mod toolchain;
mod walls;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::libc;
use zako_action::{ActionSpec, ArtifactValue, ExecuteError, Isolation, Job, ToolRef};
use zako_path::NeutralPath;

use crate::input_root::{InputRoot, io_error, kept_in, remove_all, root_of};
use crate::isolation::{INSIDE_JOBS, INSIDE_TMP, INSIDE_WORKSPACE, Layering, SandboxCounts};

pub use capability::capabilities;
pub(crate) use capability::{Piece, WallError};
pub(crate) use settle::settle_links;
pub use toolchain::named_outside;
pub(crate) use walls::Walls;

use copies::Copies;
use layer::{Group, Laid, Layers};
use walls::{Apart, WallsBuilder, below_root};

/// What the sandboxes of one build share: layers of inputs and views of the machine. Clones share them too.
///
/// They are of one build because nothing tells afterwards that they still hold: what was built is in them as hard links, which
/// change with whoever writes to it between builds, and the machine's settings and toolchains as they were. To look again would
/// be to read as much as making them anew.
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
    /// How inputs come in, if it is not the best that can be had.
    layering: Option<Layering>,
}

/// Files that an action alone reads and that are larger are shown in their place, not copied into memory.
const LARGE_OWN: u64 = 1 << 20;

/// The folders of one action behind walls, below its scratch folder. They stay for the next action that has the scratch
/// folder, because making folders is what a file system is slowest at.
#[derive(Clone, Debug)]
pub(crate) struct Rooms {
    root: PathBuf,
    /// What it writes: the shape of the workspace.
    pub(crate) written: PathBuf,
    /// Where its own memory is mounted.
    memory: PathBuf,
    /// What the kernel needs beside.
    work: PathBuf,
}

impl Rooms {
    pub(crate) fn of(scratch: &Path) -> Self {
        let root = root_of(scratch);
        Self {
            written: root.join("up"),
            memory: root.join("memory"),
            work: root.join("work"),
            root,
        }
    }

    fn all(&self) -> [&PathBuf; 4] {
        [&self.root, &self.written, &self.memory, &self.work]
    }

    /// Whether an action had these rooms.
    fn are_there(&self) -> bool {
        self.all().into_iter().all(|room| room.is_dir())
    }

    /// Makes them as new: nothing is in them but folders that lead to the outputs of `spec`.
    fn open(&self, spec: &ActionSpec) -> Result<(), ExecuteError> {
        if !self.are_there() {
            remove_all(&self.root)?;
            for room in self.all() {
                fs::create_dir(room).map_err(io_error("create", room))?;
            }
            return Ok(());
        }
        self.leave()?;
        let outputs = spec.outputs.iter().map(|output| &output.path);
        let parents = outputs.chain(&spec.depfile).filter_map(NeutralPath::parent);
        let needed: HashSet<PathBuf> = parents
            .flat_map(|parent| {
                parent
                    .to_os_path(&self.written)
                    .ancestors()
                    .map(Path::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect();
        let mut folders = vec![self.written.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(io_error("list", &folder))? {
                let place = entry.map_err(io_error("list", &folder))?.path();
                match needed.contains(&place) {
                    true => folders.push(place),
                    false => remove_all(&place)?,
                }
            }
        }
        Ok(())
    }

    /// Removes what the action left, but for folders.
    fn leave(&self) -> Result<(), ExecuteError> {
        remove_all(&self.work.join("work"))?;
        let mut folders = vec![self.written.clone()];
        while let Some(folder) = folders.pop() {
            let listed = fs::read_dir(&folder).or_else(|_| {
                // The action may have taken its own permissions away.
                fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
                fs::read_dir(&folder)
            });
            let is_usual = |found: fs::Metadata| found.permissions().mode() & 0o7777 == 0o755;
            if folder != self.written && !fs::symlink_metadata(&folder).is_ok_and(is_usual) {
                remove_all(&folder)?;
                continue;
            }
            for entry in listed.map_err(io_error("list", &folder))? {
                let entry = entry.map_err(io_error("list", &folder))?;
                match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    true => folders.push(entry.path()),
                    false => remove_all(&entry.path())?,
                }
            }
        }
        Ok(())
    }
}

/// Where what an action wrote at [`Isolation::Enhanced`] and above lies, in the shape of the workspace, as long as its
/// scratch folder is there.
#[must_use]
pub fn written_below(scratch: &Path) -> PathBuf {
    Rooms::of(scratch).written
}

/// Removes what an action left below its scratch folder, after its outputs were moved, and keeps what the next one can use.
/// Blocks.
///
/// # Errors
/// When something can't be removed.
pub fn recycle(scratch: &Path) -> Result<(), ExecuteError> {
    let rooms = Rooms::of(scratch);
    match rooms.are_there() {
        true => rooms.leave(),
        false => InputRoot::keep(&rooms.root, &kept_in(scratch)),
    }
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
            layering: None,
            home,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// With inputs that come in this way and in no better one; for a sandbox that nothing was done with.
    #[must_use]
    pub fn with_layering(self, layering: Layering) -> Self {
        let shared = &self.shared;
        let other = Shared {
            home: shared.home.clone(),
            layers: Layers::new(&shared.home, shared.layers.outputs().cloned()),
            skeletons: base::Skeletons::new(&shared.home),
            probed: capability::Probed::default(),
            layering: Some(layering),
        };
        Self {
            shared: Arc::new(other),
        }
    }

    /// What was shared so far.
    #[must_use]
    pub fn counts(&self) -> SandboxCounts {
        self.shared.layers.counts()
    }

    /// Removes all that is kept on disk, when no action runs; what runs after it makes it again. Blocks.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn clear(&self) -> Result<(), ExecuteError> {
        self.shared.layers.forget();
        self.shared.skeletons.forget();
        remove_all(&self.shared.home)
    }

    /// Makes everything ready for `job`, whose scratch folder has its `tmp` and nothing else, and which sees the named pipe
    /// `jobs`, if any, at [`INSIDE_JOBS`]. Blocks.
    pub(crate) fn walls(&self, job: &Job, jobs: Option<&Path>) -> Result<Walls, ExecuteError> {
        let layering = self.layering().map_err(|lack| ExecuteError::Unsupported {
            executor: "local",
            reason: lack.to_string(),
        })?;
        self.walls_by(layering, job, jobs)
    }

    /// The same with inputs that come in this way.
    fn walls_by(
        &self,
        layering: Layering,
        job: &Job,
        jobs: Option<&Path>,
    ) -> Result<Walls, ExecuteError> {
        let action = &job.action;
        let spec = &action.spec;
        let rooms = Rooms::of(&job.scratch);
        rooms.open(spec)?;
        let tools = tools(job);
        let groups = [
            action.inputs.iter().collect::<Group<'_>>(),
            action.staged.iter().collect::<Group<'_>>(),
            tools.iter().map(|(path, value)| (path, value)).collect(),
        ];
        let laid = self.shared.layers.lay(&job.workspace, &groups)?;
        let outputs = spec.outputs.iter().map(|output| &output.path);
        let folders: BTreeSet<NeutralPath> = outputs
            .chain(&spec.depfile)
            .filter_map(NeutralPath::parent)
            .collect();
        let are_apart = are_apart(&folders, &groups);
        let is_overlay = match layering {
            Layering::Overlay => true,
            Layering::OverlayInMemory => are_apart,
            Layering::Copies => false,
        };
        let layers = laid.layers.iter().filter(|_| is_overlay);
        let lower: Vec<PathBuf> = layers
            .map(|layer| self.shared.layers.folder().join(layer))
            .collect();
        InputRoot::make_room(spec, &rooms.written, &lower)?;
        let trees = laid.layers.iter().filter(|_| !is_overlay);
        let trees = trees.map(|name| self.shared.layers.tree(name));
        let trees = trees.collect::<Result<Vec<_>, _>>()?;

        let path = spec.env.get("PATH").map(String::as_str);
        let mut extras = toolchain::extras(&action.tools, path, &job.workspace);
        extras.shown.extend(named_outside(spec, &job.workspace));
        extras.has_jobs = jobs.is_some();
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
            if let Some(pipe) = jobs {
                // Read-only as the rest, which keeps nobody from writing to what is no file.
                walls.bind(pipe, &root.join(below_root(Path::new(INSIDE_JOBS))))?;
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
            walls.file_system("tmpfs", Path::new("memory"), quiet, Some("mode=755"))?;
            walls.folder(Path::new(copies::IN_MEMORY))?;
            let view = View {
                job,
                rooms: &rooms,
                inside: &inside,
                laid: &laid,
                layers: self.shared.layers.folder(),
                folders: &folders,
            };
            let shown = match is_overlay {
                true => view.overlay(&mut walls, are_apart)?,
                false => view.copies(&mut walls, &trees)?,
            };
            for path in &shown {
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
            let filters = if maximum {
                filter::programs()?
            } else {
                Vec::new()
            };
            Ok(walls.finish(apart, filters))
        })();
        built.map_err(io_error("plan the sandbox in", &rooms.root))
    }
}

/// Makes the workspace that one action sees, in `inside`; from the folder of its rooms, where its memory is mounted.
struct View<'a> {
    job: &'a Job,
    rooms: &'a Rooms,
    inside: &'a Path,
    laid: &'a Laid<'a>,
    /// Where layers are.
    layers: &'a Path,
    /// Of outputs.
    folders: &'a BTreeSet<NeutralPath>,
}

impl View<'_> {
    /// Layers under a folder that takes what is written; gives what is to be shown in its place.
    fn overlay(
        &self,
        walls: &mut WallsBuilder,
        are_apart: bool,
    ) -> std::io::Result<Vec<NeutralPath>> {
        let own = Path::new(copies::IN_MEMORY);
        let shown = self.own_inputs(walls, |path| path.to_os_path(own))?;
        let mut options = String::from("userxattr,volatile,");
        if are_apart {
            walls.folder(Path::new("memory/up"))?;
            walls.folder(Path::new("memory/work"))?;
            options.push_str("upperdir=memory/up,workdir=memory/work,lowerdir=memory/own");
        } else {
            options.push_str("upperdir=up,workdir=work,lowerdir=memory/own");
        }
        let folder = relative(self.layers, &self.rooms.root)?;
        for name in &self.laid.layers {
            options.push_str(&format!(":{folder}/{name}"));
        }
        let quiet = libc::MS_NOSUID | libc::MS_NODEV;
        walls.file_system("overlay", self.inside, quiet, Some(&options))?;
        for folder in self.folders.iter().filter(|_| are_apart) {
            let place = folder.to_os_path(self.inside);
            let parents = folder.ancestors().filter(|parent| !parent.is_root());
            for parent in parents.collect::<Vec<_>>().into_iter().rev() {
                walls.folder(&parent.to_os_path(self.inside))?;
            }
            walls.bind(&folder.to_os_path(&self.rooms.written), &place)?;
        }
        Ok(shown)
    }

    /// Copies, and large trees in their place; gives what is to be shown in its place.
    fn copies(
        &self,
        walls: &mut WallsBuilder,
        trees: &[Arc<copies::Tree>],
    ) -> std::io::Result<Vec<NeutralPath>> {
        let top = Path::new("");
        let spec = &self.job.action.spec;
        let outputs = spec.outputs.iter().map(|output| &output.path);
        let outputs = outputs.chain(&spec.depfile);
        let outputs: BTreeSet<PathBuf> = outputs.map(|path| path.to_os_path(top)).collect();
        let is_outer = |folder: &&NeutralPath| {
            let mut others = self.folders.iter().filter(|other| other != folder);
            !others.any(|other| folder.starts_with(other))
        };
        let folders = self.folders.iter().filter(is_outer);
        let folders: Vec<PathBuf> = folders.map(|folder| folder.to_os_path(top)).collect();
        let own = self.laid.own.keys().map(|path| path.to_os_path(top));
        let own: BTreeSet<PathBuf> = own.collect();
        let layers: Vec<PathBuf> = self
            .laid
            .layers
            .iter()
            .map(|name| self.layers.join(name))
            .collect();
        let parts: Vec<_> = trees
            .iter()
            .zip(&layers)
            .map(|(tree, layer)| (&**tree, &**layer))
            .collect();
        let binds = Copies::add(walls, &parts, &outputs, &own, &folders)?;
        let place = |path: &NeutralPath| copies::place_of(&folders, &path.to_os_path(top));
        let shown = self.own_inputs(walls, place)?;
        // The whole workspace is on disk when outputs are at its top.
        let is_top = |folder: &PathBuf| folder.as_os_str().is_empty();
        if folders.iter().any(is_top) {
            walls.bind(&self.rooms.written, self.inside)?;
        } else {
            let memory = self.rooms.root.join(copies::IN_MEMORY);
            walls.bind(&memory, self.inside)?;
            for folder in &folders {
                let place = self.inside.join(folder);
                let above: Vec<&Path> = folder.ancestors().filter(|path| *path != top).collect();
                for parent in above.into_iter().rev() {
                    walls.folder(&self.inside.join(parent))?;
                }
                walls.bind(&self.rooms.written.join(folder), &place)?;
            }
        }
        for (source, path) in &binds {
            let place = self.inside.join(path);
            walls.bind(source, &place)?;
            walls.read_only(&place)?;
        }
        Ok(shown)
    }

    /// Adds steps that put what the action alone reads where `place` says; gives what is too large for that, with all else that is
    /// to be shown in its place.
    fn own_inputs(
        &self,
        walls: &mut WallsBuilder,
        place: impl Fn(&NeutralPath) -> PathBuf,
    ) -> std::io::Result<Vec<NeutralPath>> {
        let mut shown = self.laid.shown.clone();
        let mut made = HashSet::new();
        for (path, value) in &self.laid.own {
            let parents: Vec<NeutralPath> = path.ancestors().skip(1).collect();
            for parent in parents.into_iter().rev().filter(|parent| !parent.is_root()) {
                if made.insert(parent.clone()) {
                    walls.folder(&place(&parent))?;
                }
            }
            let (there, here) = (path.to_os_path(&self.job.workspace), place(path));
            match value {
                ArtifactValue::File { digest, .. } if digest.size > LARGE_OWN => {
                    walls.copy(Path::new("/dev/null"), &here, 0, false)?;
                    shown.push((*path).clone());
                }
                ArtifactValue::File { digest, executable } => {
                    walls.copy(&there, &here, digest.size, *executable)?;
                }
                ArtifactValue::Symlink { target } => walls.link(target.as_ref(), &here)?,
                ArtifactValue::Directory { .. } => {}
            }
        }
        Ok(shown)
    }
}

/// Whether no input is in a folder of outputs, or above one. Then those folders can be real ones, and all else that the
/// action writes goes to memory. Else the overlay takes all writes to the disk, which costs some twenty changes of a file
/// system's folders for each action.
fn are_apart(folders: &BTreeSet<NeutralPath>, inputs: &[Group<'_>]) -> bool {
    let is_root = folders.iter().any(NeutralPath::is_root);
    let meets = |input: &NeutralPath| {
        let mut folders = folders.iter();
        folders.any(|folder| input.starts_with(folder) || folder.starts_with(input))
    };
    // A folder within another would be hidden by it, or hide what is written through it.
    let is_nested = |folder: &NeutralPath| {
        folders
            .iter()
            .any(|other| other != folder && folder.starts_with(other))
    };
    !is_root
        && !folders.iter().any(is_nested)
        && !inputs
            .iter()
            .flat_map(BTreeMap::keys)
            .any(|input| meets(input))
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
    let down = to
        .components()
        .skip(shared)
        .map(|name| Path::new(name.as_os_str()));
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
        ToolRef::Host(_) | ToolRef::Versioned { .. } => None,
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
    found
        .filter(|(path, _)| action.value(path).is_none())
        .collect()
}
