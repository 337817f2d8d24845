//! The language is unharmed, and its answers are the same on every thread.

use super::{TestHost, evaluate_with, export};

#[tokio::test]
async fn the_language_is_as_its_specification_has_it() {
    let files = [("pkg/BUILD.ts", include_str!("scripts/conformance.ts"))];
    let out = evaluate_with(&files, TestHost::default(), None)
        .await
        .unwrap();
    assert_eq!(export(&out, "failed"), "[]");
    let checked: u32 = export(&out, "checked").parse().unwrap();
    assert!(checked > 70, "only {checked} claims were looked at");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_script_gives_the_same_bytes_on_every_thread() {
    let runs = (0..12).map(|_| {
        tokio::spawn(async {
            let files = [("pkg/BUILD.ts", include_str!("scripts/sameness.ts"))];
            let out = evaluate_with(&files, TestHost::default(), None)
                .await
                .unwrap();
            assert_eq!(out.refused, []);
            let line = |(name, value): &(String, zako_script::Value)| {
                format!("{name}: {}\n", value.to_wire())
            };
            out.exports.iter().map(line).collect::<String>()
        })
    });
    let mut texts = Vec::new();
    for run in runs.collect::<Vec<_>>() {
        texts.push(run.await.unwrap());
    }
    assert!(texts[0].contains("Math.random is not available"));
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:#?}");
}
