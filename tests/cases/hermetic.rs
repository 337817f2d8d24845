//! A script gives the same bytes whenever, wherever and beside whatever it runs.

use zako_tests::{Workspace, repository, run, zako};

/// The script that asks for everything that could differ; the realm's own tests run it on many threads.
const SAMENESS: &str = "crates/zako_script/tests/realm/scripts/sameness.ts";

#[test]
fn the_same_bytes_in_every_process_time_zone_and_language() {
    let text = std::fs::read_to_string(repository().join(SAMENESS)).unwrap();
    let workspace = Workspace::empty().file("sameness.ts", &text);
    let evaluated = |settings: &[(&str, &str)]| {
        let mut command = workspace.program(zako());
        command.arg("--cache-dir").arg(workspace.cache());
        command.args(["eval", "sameness.ts"]);
        command.envs(settings.iter().copied());
        run(command)
    };
    let first = evaluated(&[]);
    assert!(first.contains("Math.random is not available"), "{first}");
    for settings in [
        &[][..],
        &[("TZ", "Asia/Kolkata")],
        &[("TZ", "America/St_Johns"), ("LANG", "de_DE.UTF-8")],
        &[("TZ", "NZST-12NZDT"), ("LC_ALL", "tr_TR.UTF-8")],
        &[
            ("LANG", "C"),
            ("LC_ALL", "C"),
            ("LANGUAGE", "ja"),
            ("ICU_DATA", "/nowhere"),
        ],
        &[
            ("TZ", ":/etc/localtime"),
            ("HOME", "/nowhere"),
            ("TMPDIR", "/nowhere"),
            ("NO_COLOR", "1"),
        ],
    ] {
        assert_eq!(evaluated(settings), first, "{settings:?}");
    }
}
