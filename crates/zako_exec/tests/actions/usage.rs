//! What is recorded of an action's reading and writing, on a real disk.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;

use crate::world::{World, shell};
use rustix::fs::OFlags;
use zako_action::{Executed, Exit, Isolation};

const LEVELS: [Isolation; 4] = [
    Isolation::None,
    Isolation::Basic,
    Isolation::Enhanced,
    Isolation::Maximum,
];

/// What is read and written, in blocks of 512 bytes: too much for a sandbox to copy it into memory.
const BLOCKS: u64 = (4 << 20) / 512;

/// Blocks that something else may take: a program or a library that is read from the disk, folders.
const BESIDE: u64 = BLOCKS / 2;

async fn run(w: &World, script: &str, level: Isolation) -> Executed {
    let spec = shell(script, &["in"], &["zako-out/out"]);
    let executed = w.run_at(spec, level).await.unwrap();
    assert_eq!(executed.exit, Exit::Code(0), "{}", w.printed(&executed));
    executed
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_from_and_written_to_the_disk_is_counted_at_every_level() {
    let Some(w) = World::new(&[]) else { return };
    let text = "x".repeat(4 << 20);
    w.write("in", &text);
    // Past the page cache, or nothing is read.
    let mut past_the_cache = File::options();
    past_the_cache.custom_flags(OFlags::DIRECT.bits().cast_signed());
    let input = past_the_cache.read(true).open(w.workspace.join("in"));
    let kind = rustix::fs::statfs(&w.workspace).unwrap().f_type;
    if let (Err(_), _) | (_, 0x0102_1994) = (&input, kind) {
        println!("skipped: temporary files are not on a disk here, but on {kind:#x}");
        return;
    }
    File::open(w.workspace.join("in"))
        .unwrap()
        .sync_all()
        .unwrap();
    for level in LEVELS {
        // Programs are in memory after this.
        run(&w, "dd if=in of=$out iflag=direct bs=1M 2>&1", level).await;
        let read = run(
            &w,
            "dd if=in iflag=direct bs=1M of=/dev/null; : > $out",
            level,
        )
        .await;
        let written = run(&w, "dd if=/dev/zero of=$out bs=1M count=4", level).await;
        let nothing = run(&w, ": > $out", level).await;
        let told = [&read, &written, &nothing].map(|executed| {
            let usage = &executed.usage;
            (usage.blocks_in, usage.blocks_out)
        });
        let full = BLOCKS..BLOCKS + BESIDE;
        let [read, written, nothing] = told;
        let is_right = full.contains(&read.0) && read.1 < BESIDE;
        assert!(is_right, "{level:?}: {told:?}");
        let is_right = full.contains(&written.1) && written.0 < BESIDE;
        assert!(is_right, "{level:?}: {told:?}");
        assert!(
            nothing.0 < BESIDE && nothing.1 < BESIDE,
            "{level:?}: {told:?}"
        );
    }
}
