//! `zako targets`: what there is to build.

use serde_json::json;
use zako_core::TargetInfo;

use crate::arguments::{Options, Verbosity};
use crate::command::{Done, runtime};
use crate::failure::Exit;
use crate::open::Opened;
use crate::terminal::Terminal;

pub(crate) fn run(
    patterns: &[String],
    as_json: bool,
    options: &Options,
    terminal: &Terminal,
) -> Done {
    let runtime = runtime()?;
    let opened = Opened::of(options)?;
    let how = opened.build_options(options);
    let targets = runtime.block_on(opened.session.targets(patterns, &how))?;
    opened.write_profile()?;
    let text = if as_json {
        json_of(&targets)
    } else {
        lines(&targets, terminal.verbosity())
    };
    terminal.product(&text)?;
    if targets.is_empty() && !as_json {
        terminal.say("no targets: a target is what a BUILD.ts exports");
    }
    Ok(Exit::SUCCESS)
}

/// One label a line; with `-v` also rule, place and tags, separated by tabs.
fn lines(targets: &[TargetInfo], verbosity: Verbosity) -> String {
    let mut text = String::new();
    for target in targets {
        text.push_str(&target.label);
        if verbosity >= Verbosity::Verbose {
            text.push_str(&format!("\t{}\t{}", target.rule, target.declared_at));
            if !target.tags.is_empty() {
                text.push_str(&format!("\t{}", target.tags.join(",")));
            }
        }
        text.push('\n');
    }
    text
}

/// A contract with scripts that read it: names are only ever added.
fn json_of(targets: &[TargetInfo]) -> String {
    let targets: Vec<_> = targets
        .iter()
        .map(|target| {
            json!({
                "label": target.label,
                "rule": target.rule,
                "declaredAt": target.declared_at,
                "outputs": target.outputs,
                "tags": target.tags,
            })
        })
        .collect();
    format!("{:#}\n", json!(targets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets() -> Vec<TargetInfo> {
        let target = |label: &str, tags: &[&str]| TargetInfo {
            label: label.to_owned(),
            rule: "zako:build#task".to_owned(),
            declared_at: "a/BUILD.ts:3:14".to_owned(),
            outputs: vec!["header".to_owned()],
            tags: tags.iter().map(ToString::to_string).collect(),
        };
        vec![
            target("//a:gen", &[]),
            target("//a:slow", &["manual", "big"]),
        ]
    }

    #[test]
    fn one_label_a_line() {
        assert_eq!(lines(&targets(), Verbosity::Normal), "//a:gen\n//a:slow\n");
        assert_eq!(
            lines(&targets(), Verbosity::Verbose),
            "//a:gen\tzako:build#task\ta/BUILD.ts:3:14\n//a:slow\tzako:build#task\ta/BUILD.ts:3:14\tmanual,big\n"
        );
    }

    #[test]
    fn json_has_all_of_it() {
        insta::assert_snapshot!(json_of(&targets()[..1]), @r#"
[
  {
    "label": "//a:gen",
    "rule": "zako:build#task",
    "declaredAt": "a/BUILD.ts:3:14",
    "outputs": [
      "header"
    ],
    "tags": []
  }
]
"#);
        assert_eq!(json_of(&[]), "[]\n");
    }
}
