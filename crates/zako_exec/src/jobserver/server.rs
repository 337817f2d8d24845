//! Lends processors of a pool to nested build tools.
//!
//! Each piece of work that may start jobs of its own has a [`JobSession`] with a pipe of its own. A byte in the pipe, or in the
//! hands of whoever took it, stands for a [`Grant`] of one processor that the session holds.
//!
//! **Invariants:** no more bytes are out than grants are held, so jobs of nested tools and work of this pool together never use more
//! processors than it has. Bytes that nobody took go back as soon as somebody waits for the pool, and are shared evenly between
//! sessions. When a session ends all its grants end, whatever became of its bytes: a killed child loses nothing.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use parking_lot::Mutex;
use rustix::fs::OFlags;
use tempfile::TempDir;

use crate::{Grant, Request, ResourcePool};

/// How often it is looked at what nested tools took and gave back, while there are any.
const TICK: Duration = Duration::from_millis(10);

/// The most tokens in one pipe: more jobs than that do not wait for a jobserver.
const MAX_TOKENS: usize = 1024;

/// CPU that a token stands for, in thousandths of a core.
const TOKEN_MILLIS: u64 = 1000;

/// The byte of every token.
const TOKEN: u8 = b'+';

/// The descriptors that [`JobSession::wrap`] opens.
const WRAPPED: (i32, i32) = (3, 4);

/// How children are told of the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStyle {
    /// By its path: GNU make from 4.4, cargo, ninja from 1.13.
    Fifo,
    /// By two descriptors: every GNU make since 4.2, and cargo. The program has to be started as [`JobSession::wrap`] says.
    Pipe,
}

/// Lends the processors of one pool. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct JobServer {
    shared: Arc<Shared>,
}

struct Shared {
    pool: ResourcePool,
    folder: TempDir,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: Vec<Session>,
    next: u64,
    has_broker: bool,
}

struct Session {
    number: u64,
    pipe: File,
    lent: Vec<Grant>,
}

impl Session {
    /// Tokens that lie in the pipe.
    fn idle(&self) -> usize {
        rustix::io::ioctl_fionread(&self.pipe)
            .ok()
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(0)
    }

    /// Takes up to `count` tokens out of the pipe, and gives the grants behind them. Somebody else may have been faster.
    fn reclaim(&mut self, count: usize, into: &mut Vec<Grant>) {
        let mut bytes = vec![0; count];
        if let Ok(taken) = (&self.pipe).read(&mut bytes) {
            // Bytes that were never lent (a broken client writes too many) have no grant behind them, and are gone now.
            let kept = self.lent.len().saturating_sub(taken);
            into.extend(self.lent.drain(kept..));
        }
    }

    fn lend(&mut self, grant: Grant) {
        // The pipe has room for MAX_TOKENS, so this neither blocks nor fails; if it did the grant would just end.
        if (&self.pipe).write_all(&[TOKEN]).is_ok() {
            self.lent.push(grant);
        }
    }
}

impl Shared {
    /// Shares out what the pool has left, or gives back what nobody uses.
    fn balance(&self) {
        let mut spare = Vec::new();
        let mut state = self.state.lock();
        let count = state.sessions.len();
        if count == 0 {
            return;
        }
        let pool = self.pool.state();
        let free = pool
            .capacity
            .cpu_millis
            .saturating_sub(pool.in_use.cpu_millis)
            / TOKEN_MILLIS;
        let idle: Vec<usize> = state.sessions.iter().map(Session::idle).collect();
        let free = usize::try_from(free).unwrap_or(MAX_TOKENS);
        let share = match pool.waiting {
            0 => (idle.iter().sum::<usize>() + free)
                .div_ceil(count)
                .min(MAX_TOKENS),
            _ => 0,
        };
        for (session, &idle) in state.sessions.iter_mut().zip(&idle) {
            if idle > share {
                session.reclaim(idle - share, &mut spare);
            }
        }
        let one = Request {
            cpu_millis: TOKEN_MILLIS,
            ..Request::default()
        };
        for (session, &idle) in state.sessions.iter_mut().zip(&idle) {
            for _ in idle..share {
                let more = spare
                    .pop()
                    .or_else(|| self.pool.try_acquire(&one).ok().flatten());
                match more {
                    Some(grant) => session.lend(grant),
                    None => break,
                }
            }
        }
        drop(state);
        // Whoever waits for the pool is woken by this, outside of the lock.
        drop(spare);
    }
}

impl JobServer {
    /// Lends what `pool` has left. Pipes are made in a new folder below `folder`, which every child must be able to reach.
    ///
    /// # Errors
    /// When the folder can't be made.
    pub fn new(pool: ResourcePool, folder: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("jobs-")
            .tempdir_in(folder)?;
        Ok(Self {
            shared: Arc::new(Shared {
                pool,
                folder,
                state: Mutex::default(),
            }),
        })
    }

    /// A pipe for one piece of work, which holds a grant of its own: that stands for the job that it may always run.
    ///
    /// # Errors
    /// When there can be no more pipes or descriptors.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    pub fn session(&self) -> io::Result<JobSession> {
        let mut state = self.shared.state.lock();
        let number = state.next;
        state.next += 1;
        let path = self.shared.folder.path().join(number.to_string());
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let pipe = File::options()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(&path)?;
        state.sessions.push(Session {
            number,
            pipe,
            lent: Vec::new(),
        });
        let needs_broker = !std::mem::replace(&mut state.has_broker, true);
        drop(state);
        let session = JobSession {
            shared: Arc::clone(&self.shared),
            number,
            path,
        };
        self.shared.balance();
        if needs_broker {
            tokio::spawn(broker(Arc::downgrade(&self.shared)));
        }
        Ok(session)
    }

    /// How many tokens are lent now, taken or not.
    #[must_use]
    pub fn lent(&self) -> usize {
        let state = self.shared.state.lock();
        state
            .sessions
            .iter()
            .map(|session| session.lent.len())
            .sum()
    }
}

/// Looks after the pipes until there are none.
async fn broker(shared: Weak<Shared>) {
    loop {
        let Some(strong) = shared.upgrade() else {
            return;
        };
        {
            let mut state = strong.state.lock();
            if state.sessions.is_empty() {
                state.has_broker = false;
                return;
            }
        }
        strong.balance();
        let pool = strong.pool.clone();
        drop(strong);
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = pool.contended() => {}
        }
    }
}

impl std::fmt::Debug for JobServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobServer").finish_non_exhaustive()
    }
}

/// The pipe of one piece of work. Dropping it takes back all that was lent.
#[must_use = "dropping a session takes back what was lent"]
pub struct JobSession {
    shared: Arc<Shared>,
    number: u64,
    path: PathBuf,
}

impl JobSession {
    /// The named pipe.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the work needs in its environment as `MAKEFLAGS`.
    #[must_use]
    pub fn makeflags(&self, style: JobStyle) -> String {
        match style {
            JobStyle::Fifo => format!(" -j --jobserver-auth=fifo:{}", self.path.display()),
            JobStyle::Pipe => format!(" -j --jobserver-auth={},{}", WRAPPED.0, WRAPPED.1),
        }
    }

    /// The command that opens the pipe as the descriptors that [`JobStyle::Pipe`] names and then becomes `argv`. The
    /// program must be a path or be on the PATH of its environment.
    #[must_use]
    pub fn wrap(&self, argv: &[String]) -> Vec<String> {
        Self::wrap_at(&self.path, argv)
    }

    /// The same for a program that sees the pipe at another path.
    pub(crate) fn wrap_at(pipe: &Path, argv: &[String]) -> Vec<String> {
        let (read, write) = WRAPPED;
        let script = format!("exec {read}<\"$0\" {write}>\"$0\" \"$@\"");
        let mut wrapped = vec!["/bin/sh".to_owned(), "-c".to_owned(), script];
        wrapped.push(pipe.display().to_string());
        wrapped.extend_from_slice(argv);
        wrapped
    }
}

impl Drop for JobSession {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        let at = state.sessions.iter().position(|s| s.number == self.number);
        let session = at.map(|at| state.sessions.swap_remove(at));
        drop(state);
        drop(session);
        let _gone_already = std::fs::remove_file(&self.path);
    }
}

impl std::fmt::Debug for JobSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobSession")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
