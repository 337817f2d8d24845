//! The process's one V8, and the thread that all of its threads descend from.
//!
//! With memory-protection keys (x86-64 Linux) a thread that uses V8 must descend from the thread that
//! initialised it, or the process crashes. So one root thread initialises V8 and starts every worker.
//!
//! **Invariant:** V8's flags are set once; asking for others later is an error.

use std::io;
use std::sync::{OnceLock, mpsc};

use deno_core::JsRuntime;

use crate::pool::Spawn;

/// V8's flags for every isolate: the same hashes and chances in each, and a stack that fits
/// [`WORKER_STACK_BYTES`] (the flag counts KiB). No loop unrolling: its analysis takes the safe point out of some endless
/// loops (`for (;;) list.push(new Array(1000).fill(0))`), which then can't be stopped.
const FLAGS: [&str; 5] = [
    "zako",
    "--random-seed=1",
    "--hash-seed=1",
    "--stack-size=4000",
    "--no-turboshaft-loop-unrolling",
];

/// Stack of a thread that runs scripts.
pub(crate) const WORKER_STACK_BYTES: usize = 8 << 20;

type Body = Box<dyn FnOnce() + Send>;

struct Order {
    name: &'static str,
    stack_bytes: usize,
    body: Body,
    reply: mpsc::SyncSender<io::Result<()>>,
}

static ROOT: OnceLock<Result<mpsc::Sender<Order>, String>> = OnceLock::new();

/// What starts threads that may use V8; V8 itself starts with the first of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Platform;

/// Starts V8 ahead of the first evaluation, and returns at once: what asks for a thread meanwhile waits for it.
pub fn begin() {
    ROOT.get_or_init(start);
}

/// Starts the root thread, which takes orders as soon as V8 is there.
fn start() -> Result<mpsc::Sender<Order>, String> {
    let (orders, receive) = mpsc::channel::<Order>();
    std::thread::Builder::new()
        .name("zako-v8-root".to_owned())
        .spawn(move || {
            let unknown = deno_core::v8_set_flags(FLAGS.map(str::to_owned).to_vec());
            JsRuntime::init_platform(None);
            let unknown: Vec<String> = unknown.into_iter().skip(1).collect();
            while let Ok(order) = receive.recv() {
                let started = if unknown.is_empty() {
                    let thread = std::thread::Builder::new()
                        .name(order.name.to_owned())
                        .stack_size(order.stack_bytes);
                    thread.spawn(order.body).map(drop)
                } else {
                    let flags = unknown.join(" ");
                    Err(io::Error::other(format!(
                        "V8 does not know its flags {flags}"
                    )))
                };
                let _ = order.reply.send(started);
            }
        })
        .map_err(|e| format!("V8's root thread could not be started: {e}"))?;
    Ok(orders)
}

impl Spawn for Platform {
    fn spawn(&self, name: &'static str, stack_bytes: usize, body: Body) -> io::Result<()> {
        let gone = || io::Error::other("V8 could not be initialised");
        let root = match ROOT.get_or_init(start) {
            Ok(root) => root,
            Err(error) => return Err(io::Error::other(error.clone())),
        };
        let (reply, result) = mpsc::sync_channel(1);
        root.send(Order {
            name,
            stack_bytes,
            body,
            reply,
        })
        .map_err(|_| gone())?;
        result.recv().map_err(|_| gone())?
    }
}
