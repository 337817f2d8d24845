//! Who goes first when several requests want the same processor.

use std::path::Path;

use zako_core::{BuildOptions, GlobalState, GlobalStateOptions, Isolation, Session, Urgency};

use crate::fixture::{run, write};

/// Waits until so many actions of all sessions wait for a processor, and one has it.
async fn wait(session: &Session, waiting: usize) {
    loop {
        let health = session.health();
        if health.waiting == waiting && health.running == 1 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// Four workspaces, one processor: while one action has it, the others ask in the order of least urgency.
#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_more_urgent_request_goes_first_among_all_sessions() {
    let temp = tempfile::tempdir().unwrap();
    let mut options = GlobalStateOptions::new(temp.path().join("cache"));
    options.jobs = Some(1);
    let global = GlobalState::new(options).unwrap();
    let (log, gate) = (temp.path().join("log"), temp.path().join("gate"));
    let made = std::process::Command::new("mkfifo").arg(&gate).status();
    assert!(made.unwrap().success());
    let session = |name: &str, script: &str, count: usize| {
        let root = temp.path().join(name);
        let task = |at| {
            let log = log.display();
            format!(
                "export const t{at} = task({{ outputs: [\"o{at}\"], shell: 'echo {name} >> {log}; {script}: > \"$out\"' }});\n"
            )
        };
        let tasks: String = (0..count).map(task).collect();
        let source = format!("import {{ task }} from \"zako:build\";\n{tasks}");
        write(&root.join("zako.toml"), "zako = \"0.1\"\n");
        write(&root.join("BUILD.ts"), &source);
        Session::open(global.clone(), &root).unwrap()
    };
    let first = session("first", &format!("read -r line < {}; ", gate.display()), 1);
    let background = session("background", "", 3);
    let normal = session("normal", "", 2);
    let interactive = session("interactive", "", 2);
    let build = async |session: &Session, urgency: Urgency| {
        let options = BuildOptions {
            urgency,
            // They write where this test looks.
            isolation: Some(Isolation::Basic),
            ..BuildOptions::default()
        };
        run(session, &[], options).await.good();
    };
    let open_gate = async |gate: &Path| {
        wait(&first, 7).await;
        let gate = gate.to_owned();
        let opened = tokio::task::spawn_blocking(move || std::fs::write(gate, "go\n"));
        opened.await.unwrap().unwrap();
    };
    tokio::join!(
        build(&first, Urgency::Background),
        async {
            wait(&first, 0).await;
            build(&background, Urgency::Background).await;
        },
        async {
            wait(&first, 3).await;
            build(&normal, Urgency::Normal).await;
        },
        async {
            wait(&first, 5).await;
            build(&interactive, Urgency::Interactive).await;
        },
        open_gate(&gate),
    );
    let order = std::fs::read_to_string(&log).unwrap();
    let order: Vec<&str> = order.lines().collect();
    let wanted = [
        "first",
        "interactive",
        "interactive",
        "normal",
        "normal",
        "background",
        "background",
        "background",
    ];
    assert_eq!(order, wanted);
}
