//! The executor of `fetch`: content from the store, or else from its address, checked, pinned, and put where the target
//! wants it. No process.
//!
//! What was fetched once is found again by its integrity, whatever address, name or workspace it is wanted for: a record in
//! the action cache says which blob it is.
//!
//! **Invariants:** nothing is in the store's record before its digest was compared; the network is used only when the store
//! lacks the content. A server that is silent when the build is cancelled is left to a thread that nobody waits for: it
//! writes to a file that is gone by then.

use std::fs;
use std::path::Path;
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use zako_action::{
    ActionCache, ActionResult, ArtifactValue, ExecuteError, Executed, Executor, Exit, Job,
    OutputFile, OutputSink, Stream, StrongKey, Usage,
};
use zako_cas::{Digest, Store};
use zako_exec::BlockingPool;
use zako_path::NeutralPath;

use super::script_executor::{collect, io, make_room};
use crate::fetch::{
    Algorithm, Download, Fetch, FetchError, FetchRules, Integrity, LOCK_FILE, add_pin, download,
    extract,
};

/// What names the records of content in the action cache; another number when they change.
const RECORD: &str = "zako fetched content 1";

/// Held while `zako.lock` is read and written.
static PINNING: Mutex<()> = Mutex::new(());

/// Fetches one thing.
pub(super) struct FetchExecutor {
    pub(super) store: Store,
    pub(super) pool: BlockingPool,
    pub(super) cache: ActionCache,
    pub(super) rules: FetchRules,
    pub(super) fetch: Fetch,
}

/// Content that is in the store, and what a person is told of it.
struct Got {
    content: Digest,
    said: String,
}

impl FetchExecutor {
    async fn run(
        &self,
        job: &Job,
        sink: &dyn OutputSink,
        cancel: &CancellationToken,
    ) -> Result<Executed, ExecuteError> {
        let started = Instant::now();
        let Got { content, said } = self.content(job, cancel).await?;
        if !said.is_empty() {
            sink.write(Stream::Stdout, said.as_bytes());
        }
        let (store, fetch, job) = (self.store.clone(), self.fetch.clone(), job.clone());
        let put_in_place = move || {
            let (spec, root) = (&job.action.spec, job.scratch.join("root"));
            make_room(spec, &job.scratch, &root)?;
            for output in &spec.outputs {
                let place = output.path.to_os_path(&root);
                match fetch.strip {
                    None => {
                        put(&store, &content, &place)?;
                        let mode = if fetch.executable { 0o755 } else { 0o644 };
                        crate::system::set_mode(&place, mode).map_err(io("write", &place))?;
                    }
                    Some(strip) => {
                        let archive = job.scratch.join("archive");
                        put(&store, &content, &archive)?;
                        extract(&archive, &place, strip).map_err(|source| {
                            let url = fetch.url.clone();
                            failed(FetchError::Archive { url, source })
                        })?;
                    }
                }
            }
            Ok(Executed {
                exit: Exit::Code(0),
                stdout: store.put_bytes(said.as_bytes())?,
                stderr: store.put_bytes(b"")?,
                outputs: collect(spec, &root, &store)?,
                usage: Usage {
                    wall: started.elapsed(),
                    ..Usage::default()
                },
                depfile: None,
            })
        };
        self.pool.execute(put_in_place).await
    }

    /// The content, from the store or else from its address.
    async fn content(&self, job: &Job, cancel: &CancellationToken) -> Result<Got, ExecuteError> {
        let url = self.fetch.url.clone();
        let expected: Option<Integrity> = match &self.fetch.integrity {
            None => None,
            Some(text) => Some(
                text.parse()
                    .map_err(|error| failed(FetchError::from(error)))?,
            ),
        };
        if let Some(expected) = expected.clone() {
            let (store, cache) = (self.store.clone(), self.cache.clone());
            let kept = self.pool.execute(move || kept(&store, &cache, &expected));
            let kept = kept.await?;
            if let Some(content) = kept {
                let said = String::new();
                return Ok(Got { content, said });
            }
        }
        if expected.is_none() && self.rules.locked {
            return Err(failed(FetchError::Unlocked { url }));
        }
        if self.rules.offline && !url.starts_with("file://") {
            return Err(failed(FetchError::Offline { url }));
        }
        let place = job.scratch.join("download");
        let wanted = Download {
            url: url.clone(),
            place: place.clone(),
            algorithm: expected
                .as_ref()
                .map_or(Algorithm::Sha256, Integrity::algorithm),
            cancel: cancel.clone(),
        };
        let scratch = job.scratch.clone();
        let make = move || fs::create_dir_all(&scratch).map_err(io("create", &scratch));
        self.pool.execute(make).await?;
        let (send, receive) = oneshot::channel();
        std::thread::Builder::new()
            .name("zako-fetch".to_owned())
            .spawn(move || {
                let _nobody_waits = send.send(download(&wanted));
            })
            .map_err(|error| ExecuteError::Other(Box::new(error)))?;
        let downloaded = tokio::select! {
            downloaded = receive => downloaded,
            () = cancel.cancelled() => return Err(ExecuteError::Cancelled),
        };
        let found = match downloaded {
            Ok(Ok(downloaded)) => downloaded.found,
            Ok(Err(error)) => return Err(failed(error)),
            Err(gone) => return Err(ExecuteError::Other(Box::new(gone))),
        };
        let is_new = expected.is_none();
        if let Some(expected) = expected
            && expected != found
        {
            return Err(failed(FetchError::Mismatch {
                url,
                expected,
                found,
            }));
        }
        let (store, cache, root) = (
            self.store.clone(),
            self.cache.clone(),
            job.workspace.clone(),
        );
        let keep = move || {
            let content = store.put_file(&place)?;
            record(&store, &cache, &found, content)?;
            let mut said = String::new();
            if is_new {
                let _alone = PINNING.lock();
                add_pin(&root, &url, &found).map_err(|error| failed(FetchError::from(error)))?;
                said = format!("pinned {url} in {LOCK_FILE}: {found}\n");
            }
            Ok(Got { content, said })
        };
        self.pool.execute(keep).await
    }
}

impl Executor for FetchExecutor {
    fn execute<'a>(
        &'a self,
        job: &'a Job,
        sink: &'a dyn OutputSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Executed, ExecuteError>> {
        self.run(job, sink, cancel).boxed()
    }
}

fn failed(error: FetchError) -> ExecuteError {
    match error {
        FetchError::Cancelled => ExecuteError::Cancelled,
        error => ExecuteError::Other(Box::new(error)),
    }
}

fn key_of(store: &Store, integrity: &Integrity) -> StrongKey {
    let text = format!("{RECORD}\0{integrity}");
    StrongKey(store.function().hash(text.as_bytes()))
}

/// The blob with that integrity, if the store has it. Blocks.
pub(super) fn kept(
    store: &Store,
    cache: &ActionCache,
    integrity: &Integrity,
) -> Result<Option<Digest>, ExecuteError> {
    let found = cache
        .lookup(&key_of(store, integrity))
        .map_err(|error| ExecuteError::Other(Box::new(error)))?;
    let result = found.filter(|result| result.is_complete(store));
    Ok(
        result.and_then(|result| match result.outputs.first()?.value {
            ArtifactValue::File { digest, .. } => Some(digest),
            _ => None,
        }),
    )
}

pub(super) fn record(
    store: &Store,
    cache: &ActionCache,
    integrity: &Integrity,
    content: Digest,
) -> Result<(), ExecuteError> {
    let nothing = store.put_bytes(b"")?;
    let path = NeutralPath::new("content").map_err(|error| ExecuteError::Other(Box::new(error)))?;
    let result = ActionResult {
        exit_code: 0,
        outputs: vec![OutputFile {
            path,
            value: ArtifactValue::File {
                digest: content,
                executable: false,
            },
        }],
        stdout: nothing,
        stderr: nothing,
        usage: Usage::default(),
        narrow: None,
    };
    cache
        .record(&key_of(store, integrity), &result)
        .map_err(|error| ExecuteError::Other(Box::new(error)))
}

/// Writes the blob to `place`, which is new.
pub(super) fn put(store: &Store, content: &Digest, place: &Path) -> Result<(), ExecuteError> {
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder).map_err(io("create", folder))?;
    }
    let Some(mut blob) = store.open_blob(content)? else {
        let gone = std::io::Error::other("the store has lost what was fetched; build again");
        return Err(io("write", place)(gone));
    };
    let mut file = fs::File::create(place).map_err(io("write", place))?;
    std::io::copy(&mut blob, &mut file)
        .map(drop)
        .map_err(io("write", place))
}
