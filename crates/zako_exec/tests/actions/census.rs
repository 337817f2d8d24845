//! The processes of actions, found in whatever they run, with real ones.

use crate::world::{World, is_alone, shell};
use tokio_util::sync::CancellationToken;
use zako_action::{ExecuteError, Executor, Isolation, OutputSink, Stream};
use zako_exec::{Census, Pulse, Sources};

const LEVELS: [Isolation; 4] = [
    Isolation::None,
    Isolation::Basic,
    Isolation::Enhanced,
    Isolation::Maximum,
];

/// What this process holds meanwhile; PID 1 of a sandbox shares it, and does not count for that.
const OWN: usize = 300 << 20;

/// What the action has held, and what it still holds.
const HELD: (u64, u64) = (48 << 20, 12 << 20);

/// Is told when something was printed.
struct Up(tokio::sync::Notify);

impl OutputSink for Up {
    fn write(&self, _stream: Stream, _chunk: &[u8]) {
        self.0.notify_one();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_are_found_with_their_memory_alone_at_every_level() {
    if !is_alone("census::actions_are_found_with_their_memory_alone_at_every_level") {
        return;
    }
    let Some(w) = World::new(&[]) else { return };
    let mut own = vec![0u8; OWN];
    own.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    for level in LEVELS {
        let census = Census::default();
        let executor = w.executor.clone().with_census(census.clone());
        // It has held much, holds less, and waits for what never comes, in a folder that is not its own.
        let script = "mkfifo $TMPDIR/pipe; cd /; PIPE=$TMPDIR/pipe; \
                      much=$(head -c 50331648 /dev/zero | tr '\\0' x); much=; \
                      x=$(head -c 12582912 /dev/zero | tr '\\0' x); echo up; read word < $PIPE; echo $x";
        let mut spec = shell(script, &[], &[]);
        spec.env
            .insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
        let job = w.job(spec, level);
        let up = Up(tokio::sync::Notify::new());
        let cancel = CancellationToken::new();
        let look = async {
            up.0.notified().await;
            let pulses = census.pulses(&Sources::default());
            let ours = Sources::default().read().ours;
            cancel.cancel();
            (pulses, ours)
        };
        let (ended, (pulses, ours)) = tokio::join!(executor.execute(&job, &up, &cancel), look);
        assert!(matches!(ended, Err(ExecuteError::Cancelled)), "{ended:?}");
        let [(scratch, pulse)] = &pulses[..] else {
            panic!("{level:?}: {pulses:?}");
        };
        assert_eq!(*scratch, job.scratch);
        let Pulse {
            resident_bytes,
            peak_bytes,
            ..
        } = *pulse;
        let holds = HELD.1..OWN as u64;
        assert!(holds.contains(&resident_bytes), "{level:?}: {pulse:?}");
        let held = HELD.0..OWN as u64;
        assert!(held.contains(&peak_bytes), "{level:?}: {pulse:?}");
        assert!(holds.contains(&ours), "{level:?}: {ours}");
        assert_eq!(census.pulses(&Sources::default()), [], "it is gone");
    }
    drop(own);
}
