//! What is different between two declarations of one action, in words.

use zako_action::{ActionBody, ActionSpec, Stdin, ToolRef};
use zako_path::NeutralPath;

use super::PlannedAction;
use crate::target::{FileWork, Lowered};

/// How much of a value is shown, in characters.
const MAX_SHOWN: usize = 80;

/// What was declared otherwise `before`, one line each.
pub(super) fn differences(before: &Lowered, now: &PlannedAction) -> Vec<String> {
    let (old, new) = (&before.spec, &*now.spec);
    let mut lines = Vec::new();
    body(old, new, &mut lines);
    work(before.work.as_deref(), now.work.as_deref(), &mut lines);
    for (name, value) in &old.env {
        match new.env.get(name) {
            None => lines.push(format!("environment: {name} is gone")),
            Some(other) if other != value => {
                lines.push(format!("environment {name}: {}", change(value, other)));
            }
            Some(_) => {}
        }
    }
    for (name, value) in &new.env {
        if !old.env.contains_key(name) {
            lines.push(format!("environment: {name}={} is new", shown(value)));
        }
    }
    paths("input", &old.inputs, &new.inputs, &mut lines);
    paths("input", &old.staged, &new.staged, &mut lines);
    let tool = |tool: &ToolRef| match tool {
        ToolRef::Artifact(path) => path.to_string(),
        ToolRef::Host(name) => name.clone(),
        ToolRef::Versioned { path, version } => format!("{path} {version}"),
    };
    let (was, is): (Vec<_>, Vec<_>) = (
        old.tools.iter().map(tool).collect(),
        new.tools.iter().map(tool).collect(),
    );
    lists("tool", &was, &is, &mut lines);
    let outputs = |spec: &ActionSpec| -> Vec<NeutralPath> {
        spec.outputs.iter().map(|o| o.path.clone()).collect()
    };
    paths("output", &outputs(old), &outputs(new), &mut lines);
    let stdin = |spec: &ActionSpec| match &spec.stdin {
        None => "nothing".to_owned(),
        Some(Stdin::File(path)) => path.to_string(),
        Some(Stdin::Text(text)) => shown(text),
    };
    for (what, was, is) in [
        ("standard input", stdin(old), stdin(new)),
        (
            "depfile",
            format!("{:?}", old.depfile.as_ref().map(NeutralPath::as_str)),
            format!("{:?}", new.depfile.as_ref().map(NeutralPath::as_str)),
        ),
        (
            "time-out",
            format!("{:?}", old.timeout),
            format!("{:?}", new.timeout),
        ),
        ("network", old.network.to_string(), new.network.to_string()),
        ("cache", old.cache.to_string(), new.cache.to_string()),
    ] {
        if was != is {
            lines.push(format!("{what}: {}", change(&was, &is)));
        }
    }
    if lines.is_empty() && before.script.is_some() {
        lines.push("the modules of its script".to_owned());
    }
    lines
}

fn work(was: Option<&FileWork>, is: Option<&FileWork>, lines: &mut Vec<String>) {
    let line = match (was, is) {
        (was, is) if was == is => return,
        (Some(FileWork::Write { text: was, .. }), Some(FileWork::Write { text: is, .. })) => {
            match was == is {
                true => "whether what it writes is a program",
                false => "the text that it writes",
            }
        }
        (Some(FileWork::Tree { .. }), Some(FileWork::Tree { .. })) => {
            "what stands where in the directory"
        }
        (Some(FileWork::Symlink { .. }), Some(FileWork::Symlink { .. })) => {
            "what the link leads to"
        }
        (Some(FileWork::Fetch(was)), Some(FileWork::Fetch(is))) => {
            match was.content() == is.content() {
                true => "the address that it fetches from",
                false => "what it fetches, or how",
            }
        }
        // Which file is copied is an input.
        (Some(FileWork::Copy { .. }), Some(FileWork::Copy { .. })) => return,
        _ => "what kind of thing it does",
    };
    lines.push(line.to_owned());
}

fn body(old: &ActionSpec, new: &ActionSpec, lines: &mut Vec<String>) {
    match (&old.body, &new.body) {
        (ActionBody::Command { argv: was }, ActionBody::Command { argv: is }) => {
            for at in 0..was.len().max(is.len()) {
                match (was.get(at), is.get(at)) {
                    (Some(was), Some(is)) if was != is => {
                        lines.push(format!("argument {at}: {}", change(was, is)));
                    }
                    (Some(was), None) => {
                        lines.push(format!("argument {at}: {} is gone", shown(was)))
                    }
                    (None, Some(is)) => lines.push(format!("argument {at}: {} is new", shown(is))),
                    _ => {}
                }
            }
        }
        (ActionBody::Shell { script: was }, ActionBody::Shell { script: is }) if was != is => {
            lines.push(format!("command: {}", change(was, is)));
        }
        (
            ActionBody::Script {
                module: was,
                args: had,
            },
            ActionBody::Script {
                module: is,
                args: has,
            },
        ) => {
            if was != is {
                lines.push(format!("script: {}", change(was.as_str(), is.as_str())));
            }
            if had != has {
                let change = change(&had.to_string(), &has.to_string());
                lines.push(format!("arguments: {change}"));
            }
        }
        (was, is) if was != is => lines.push("what kind of thing it runs".to_owned()),
        _ => {}
    }
}

fn paths(what: &str, was: &[NeutralPath], is: &[NeutralPath], lines: &mut Vec<String>) {
    let text =
        |paths: &[NeutralPath]| -> Vec<String> { paths.iter().map(ToString::to_string).collect() };
    lists(what, &text(was), &text(is), lines);
}

fn lists(what: &str, was: &[String], is: &[String], lines: &mut Vec<String>) {
    let mut same = true;
    for gone in was.iter().filter(|item| !is.contains(item)) {
        lines.push(format!("{what} {} is gone", shown(gone)));
        same = false;
    }
    for new in is.iter().filter(|item| !was.contains(item)) {
        lines.push(format!("{what} {} is new", shown(new)));
        same = false;
    }
    if same && was != is {
        lines.push(format!("the order of its {what}s"));
    }
}

fn change(was: &str, is: &str) -> String {
    format!("{} \u{2192} {}", shown(was), shown(is))
}

/// A value on one line, and not all of it when it is long.
fn shown(value: &str) -> String {
    let line = value.replace('\n', "\u{2424}");
    match line.char_indices().nth(MAX_SHOWN) {
        Some((cut, _)) => format!("{}\u{2026}", &line[..cut]),
        None => line,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn lowered(argv: &[&str]) -> Lowered {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        Lowered {
            spec: ActionSpec::new("//a:b", "c", ActionBody::Command { argv }),
            script: None,
            work: None,
            test: false,
        }
    }

    #[test]
    fn each_difference_is_a_line() {
        let mut old = lowered(&["cc", "-O1", "a.c"]);
        old.spec.env.insert("A".into(), "1".into());
        old.spec.inputs = vec![NeutralPath::new("a.c").unwrap()];
        let mut new = lowered(&["cc", "-O2", "a.c", "-g"]);
        new.spec.env.insert("B".into(), "2".into());
        new.spec.inputs = vec![NeutralPath::new("b.c").unwrap()];
        let lines = differences(&old, &PlannedAction::new(new.spec));
        assert_eq!(
            lines,
            [
                "argument 1: -O1 \u{2192} -O2",
                "argument 3: -g is new",
                "environment: A is gone",
                "environment: B=2 is new",
                "input a.c is gone",
                "input b.c is new",
            ]
        );
        let same = lowered(&["cc"]);
        let again = PlannedAction::new(same.spec.clone());
        assert_eq!(differences(&same, &again), [""; 0]);
    }
}
