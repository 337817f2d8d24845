//! The executor of what zako does itself: files that are written, copied, linked or put together, and no process.
//!
//! **Invariant:** only its scratch folder is written to.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use zako_action::{ExecuteError, Executed, Executor, Exit, Job, OutputSink, Usage};
use zako_cas::Store;
use zako_exec::BlockingPool;

use super::script_executor::{collect, io, make_room, write};
use crate::target::{FileWork, link_text};

/// Does the work of one action.
pub(super) struct FileExecutor {
    pub(super) store: Store,
    pub(super) pool: BlockingPool,
    pub(super) work: Arc<FileWork>,
}

impl Executor for FileExecutor {
    fn execute<'a>(
        &'a self,
        job: &'a Job,
        _sink: &'a dyn OutputSink,
        _cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Executed, ExecuteError>> {
        let (store, work, job) = (self.store.clone(), self.work.clone(), job.clone());
        let done = move || {
            let started = Instant::now();
            let (spec, root) = (&job.action.spec, job.scratch.join("root"));
            make_room(spec, &job.scratch, &root)?;
            for output in &spec.outputs {
                let place = output.path.to_os_path(&root);
                match &*work {
                    FileWork::Write { text, executable } => {
                        write(&place, text.as_bytes())?;
                        if *executable {
                            crate::system::set_mode(&place, 0o755).map_err(io("write", &place))?;
                        }
                    }
                    FileWork::Copy { from } => {
                        // Its folder was made for it, as for all outputs that are directories.
                        copy(&from.to_os_path(&job.workspace), &place)?;
                    }
                    FileWork::Symlink { to } => {
                        // Even one to a directory is a link.
                        let _absent = fs::remove_dir(&place);
                        make_folder(&place)?;
                        crate::system::symlink(link_text(&output.path, to), &place)
                            .map_err(io("link", &place))?;
                    }
                    // Has an executor of its own.
                    FileWork::Fetch(_) => {}
                    FileWork::Tree { entries } => {
                        for (below, source) in entries {
                            copy(
                                &source.to_os_path(&job.workspace),
                                &below.to_os_path(&place),
                            )?;
                        }
                    }
                }
            }
            let nothing = store.put_bytes(b"")?;
            Ok(Executed {
                exit: Exit::Code(0),
                stdout: nothing,
                stderr: nothing,
                outputs: collect(spec, &root, &store)?,
                usage: Usage {
                    wall: started.elapsed(),
                    ..Usage::default()
                },
                depfile: None,
            })
        };
        let pool = self.pool.clone();
        async move { pool.execute(done).await }.boxed()
    }
}

fn make_folder(place: &Path) -> Result<(), ExecuteError> {
    match place.parent() {
        Some(folder) => fs::create_dir_all(folder).map_err(io("create", folder)),
        None => Ok(()),
    }
}

/// Copies a file with its permissions, or a directory with all that is in it; a link below the top stays a link.
fn copy(from: &Path, to: &Path) -> Result<(), ExecuteError> {
    make_folder(to)?;
    let found = fs::metadata(from).map_err(io("read", from))?;
    if !found.is_dir() {
        return fs::copy(from, to).map(drop).map_err(io("copy", from));
    }
    let mut folders: Vec<(PathBuf, PathBuf)> = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = folders.pop() {
        fs::create_dir_all(&to).map_err(io("create", &to))?;
        for entry in fs::read_dir(&from).map_err(io("list", &from))? {
            let entry = entry.map_err(io("list", &from))?;
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type().map_err(io("read", &from))?;
            if kind.is_dir() {
                folders.push((from, to));
            } else if kind.is_symlink() {
                let target = fs::read_link(&from).map_err(io("read", &from))?;
                crate::system::symlink(target, &to).map_err(io("link", &to))?;
            } else {
                fs::copy(&from, &to).map(drop).map_err(io("copy", &from))?;
            }
        }
    }
    Ok(())
}
