//! Which evaluations a debugger may attach to, and those that wait for one now.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use deno_core::InspectorSessionProxy;
use deno_core::futures::channel::mpsc::UnboundedSender;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::server;
use crate::engine::Entry;

/// Gives the text of a file by what a person calls it (its path in the workspace), for modules that came without.
pub type Sources = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// An evaluation that waits for a debugger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What is evaluated, for a person.
    pub title: String,
    /// Where a debugger connects: `ws://127.0.0.1:PORT/ID`.
    pub websocket: String,
}

/// A realm that debuggers can connect to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Cannot be guessed, so that no web page connects.
    pub(super) id: String,
    /// For a person.
    pub(super) title: String,
    /// The module that it starts with.
    pub(super) url: String,
    /// Takes a session, which the realm's thread then serves.
    pub(super) sessions: UnboundedSender<InspectorSessionProxy>,
}

/// An evaluation that was chosen.
struct Wanted {
    entry: Entry,
    title: String,
    sources: Sources,
}

/// What the server and the realms share.
pub(super) struct Shared {
    pub(super) address: SocketAddr,
    pub(super) targets: Mutex<Vec<Target>>,
    /// The entries that wait for a debugger.
    wanted: Mutex<Vec<Wanted>>,
    waiting: Box<dyn Fn(Waiting) + Send + Sync>,
    pub(super) closed: CancellationToken,
}

impl Shared {
    pub(super) fn websocket_of(&self, id: &str) -> String {
        format!("ws://{}/{id}", self.address)
    }
}

/// Serves the inspector of chosen evaluations on the loopback interface, as Chrome's and VS Code's debuggers expect it:
/// `/json/list` names what can be debugged, a WebSocket each speaks the Chrome DevTools Protocol.
///
/// An evaluation that was chosen waits until a debugger has connected and lets it run
/// (`Runtime.runIfWaitingForDebugger`), stops before its first statement, and has no time limit. Dropping it ends
/// connections.
pub struct Debugger {
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

impl Debugger {
    /// Listens on 127.0.0.1 at `port` (0 for any that is free). `waiting` is told of each evaluation that waits, on
    /// its own thread.
    pub fn listen(
        port: u16,
        waiting: impl Fn(Waiting) + Send + Sync + 'static,
    ) -> io::Result<Debugger> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            address: listener.local_addr()?,
            targets: Mutex::default(),
            wanted: Mutex::default(),
            waiting: Box::new(waiting),
            closed: CancellationToken::new(),
        });
        let server = server::start(listener, shared.clone())?;
        Ok(Debugger {
            shared,
            server: Some(server),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Chooses an evaluation: the next ones that start with `entry` wait. `title` is what a person calls it.
    pub fn choose(&self, entry: Entry, title: impl Into<String>, sources: Sources) {
        self.shared.wanted.lock().push(Wanted {
            entry,
            title: title.into(),
            sources,
        });
    }

    /// What is to be done with an evaluation that starts with `entry`, if it was chosen.
    pub(crate) fn wants(&self, entry: &Entry) -> Option<Attached> {
        let wanted = self.shared.wanted.lock();
        let wanted = wanted.iter().find(|wanted| wanted.entry == *entry)?;
        let module = match entry {
            Entry::Exports(module) | Entry::Script(module) | Entry::Toolchain(module, _) => {
                Some(module)
            }
            Entry::Analysis(modules) => modules.first(),
        };
        Some(Attached {
            shared: self.shared.clone(),
            title: wanted.title.clone(),
            sources: wanted.sources.clone(),
            url: module.map(|module| module.url()).unwrap_or_default(),
            id: Uuid::new_v4().to_string(),
        })
    }
}

impl Drop for Debugger {
    fn drop(&mut self) {
        self.shared.closed.cancel();
        if let Some(server) = self.server.take() {
            // It ends once its connections are closed; a panic in it is reported by the hook.
            let _ = server.join();
        }
    }
}

/// One evaluation's place among what can be debugged; gone from there when dropped.
pub(crate) struct Attached {
    shared: Arc<Shared>,
    id: String,
    title: String,
    url: String,
    sources: Sources,
}

impl Attached {
    /// What gives the texts of files.
    pub(crate) fn sources(&self) -> Sources {
        self.sources.clone()
    }

    /// Lets debuggers connect to the realm that takes `sessions`, and tells whoever listens that it waits.
    pub(crate) fn announce(&self, sessions: UnboundedSender<InspectorSessionProxy>) {
        self.shared.targets.lock().push(Target {
            id: self.id.clone(),
            title: self.title.clone(),
            url: self.url.clone(),
            sessions,
        });
        (self.shared.waiting)(Waiting {
            title: self.title.clone(),
            websocket: self.shared.websocket_of(&self.id),
        });
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.shared
            .targets
            .lock()
            .retain(|target| target.id != self.id);
    }
}
