//! All that a script can reach is listed in a snapshot, and all of it is frozen.

use zako_script::declarations;

use super::{TestHost, evaluate_with, export};

/// What the walk starts from that is nobody's but the one's who made it: descriptors, and an object for each module.
const OWN: [&str; 4] = ["%stack%", "%arguments%", "%match%", "import.meta"];

/// What the walk found: the language's, and the builtins'.
async fn reached() -> (String, String) {
    let names: Vec<&str> = declarations().map(|(specifier, _)| specifier).collect();
    let mut source = String::new();
    for (at, name) in names.iter().enumerate() {
        source.push_str(&format!("import * as builtin{at} from \"{name}\";\n"));
    }
    source.push_str("export const BUILTINS: [string, unknown][] = [\n");
    for (at, name) in names.iter().enumerate() {
        source.push_str(&format!("  [\"{name}\", builtin{at}],\n"));
    }
    source.push_str("];\n");
    let files = [
        ("pkg/BUILD.ts", include_str!("scripts/reach.ts")),
        ("pkg/builtins.ts", source.as_str()),
    ];
    let out = evaluate_with(&files, TestHost::default(), None).await;
    let out = out.expect("the walk runs");
    let text: String = serde_json::from_str(&export(&out, "reached")).expect("a string");
    let (builtins, language): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with("zako:"));
    (language.join("\n"), builtins.join("\n"))
}

/// A failure means that V8 or a builtin brought something new: it is removed in `harden.js`, or taken into the snapshot.
#[tokio::test]
async fn everything_within_reach_is_listed() {
    let (language, builtins) = reached().await;
    insta::assert_snapshot!("language", language);
    insta::assert_snapshot!("builtins", builtins);
}

#[tokio::test]
async fn everything_within_reach_is_frozen() {
    let (language, builtins) = reached().await;
    let loose: Vec<&str> = language
        .lines()
        .chain(builtins.lines())
        .filter(|line| line.contains("NOT FROZEN"))
        .filter(|line| !OWN.iter().any(|own| line.starts_with(own)))
        .collect();
    assert_eq!(loose, Vec::<&str>::new());
}
