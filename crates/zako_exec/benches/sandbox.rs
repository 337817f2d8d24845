//! What an action costs behind walls, beside one without: from the job to its recorded result, with a hundred inputs, in a
//! process with little and with much resident memory.
#![expect(clippy::unwrap_used, reason = "benches")]

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use divan::{Bencher, black_box};
use tokio_util::sync::CancellationToken;
use zako_action::{
    ActionBody, ActionSpec, ArtifactValue, Executor, Isolation, Job, NoSink, Prepared, ResolvedTool,
};
use zako_cas::{DigestFunction, Store, StoreOptions};
use zako_exec::{BlockingPool, ControlGroups, Layering, LocalExecutor, Sandbox, recycle};
use zako_path::NeutralPath;

const TRUE: &str = "/bin/true";

/// Isolation, and megabytes that are resident meanwhile.
const CASES: [(&str, usize); 8] = [
    ("none", 0),
    // In a control group, where they can be had.
    ("none, grouped", 0),
    ("none", 500),
    ("basic", 0),
    ("enhanced", 0),
    ("enhanced", 500),
    // Where no overlay can be had.
    ("enhanced, copies", 0),
    ("maximum", 0),
];

fn main() {
    divan::main();
}

fn level(name: &str) -> Isolation {
    match name {
        "none" | "none, grouped" => Isolation::None,
        "basic" => Isolation::Basic,
        "enhanced" | "enhanced, copies" => Isolation::Enhanced,
        _ => Isolation::Maximum,
    }
}

struct World {
    dir: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    executor: LocalExecutor,
    inputs: Vec<NeutralPath>,
}

impl World {
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(3)
            .enable_all()
            .build()
            .unwrap();
        let store = Store::open(StoreOptions::new(base.join("store"))).unwrap();
        let pool = BlockingPool::new(runtime.handle());
        let shared = base.join("ws/.zako/exec/shared");
        let outputs = NeutralPath::new("zako-out").unwrap();
        let sandbox = Sandbox::new(shared, Some(outputs));
        let sandbox = match name {
            "enhanced, copies" => sandbox.with_layering(Layering::Copies),
            _ => sandbox,
        };
        let mut executor = LocalExecutor::new(store, pool).with_sandbox(sandbox);
        if name == "none, grouped" {
            executor = executor.with_groups(ControlGroups::new());
        }
        let inputs = (0..100).map(|n| NeutralPath::new(format!("src/d{}/f{n}.h", n % 10)).unwrap());
        let inputs: Vec<NeutralPath> = inputs.collect();
        for input in &inputs {
            let place = input.to_os_path(&base.join("ws"));
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, input.as_str()).unwrap();
        }
        Self {
            dir,
            runtime,
            executor,
            inputs,
        }
    }

    fn job(&self, isolation: Isolation, inputs: usize) -> Job {
        let argv = vec![TRUE.to_owned()];
        let mut spec = ActionSpec::new("//a:t", "test", ActionBody::Command { argv });
        spec.inputs = self.inputs[..inputs].to_vec();
        let values: BTreeMap<NeutralPath, ArtifactValue> = spec
            .inputs
            .iter()
            .map(|path| {
                let digest = DigestFunction::Blake3.hash(path.as_str().as_bytes());
                let executable = false;
                (path.clone(), ArtifactValue::File { digest, executable })
            })
            .collect();
        let tool = ResolvedTool {
            name: TRUE.to_owned(),
            path: fs::canonicalize(TRUE).unwrap(),
            digest: DigestFunction::Blake3.empty(),
        };
        let action = Prepared {
            inputs: values,
            staged: BTreeMap::new(),
            tools: vec![tool],
            salt: String::new(),
            isolation,
            spec: Arc::new(spec),
        };
        let base = self.dir.path().canonicalize().unwrap();
        Job {
            action: Arc::new(action),
            workspace: base.join("ws").into(),
            scratch: base.join("ws/.zako/exec/1"),
            attempt: 0,
        }
    }
}

fn bench(bencher: Bencher<'_, '_>, inputs: usize, name: &str, megabytes: usize) {
    let mut memory = vec![0u8; megabytes << 20];
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    let world = World::new(name);
    let job = world.job(level(name), inputs);
    let cancel = CancellationToken::new();
    bencher.bench_local(|| {
        let run = world.executor.execute(&job, &NoSink, &cancel);
        let executed = world.runtime.block_on(run).unwrap();
        assert!(executed.succeeded());
        recycle(&job.scratch).unwrap();
    });
    drop(black_box(memory));
}

#[divan::bench(args = CASES)]
fn hundred_inputs(bencher: Bencher<'_, '_>, case: &(&str, usize)) {
    bench(bencher, 100, case.0, case.1);
}

#[divan::bench(args = CASES)]
fn no_input(bencher: Bencher<'_, '_>, case: &(&str, usize)) {
    bench(bencher, 0, case.0, case.1);
}
