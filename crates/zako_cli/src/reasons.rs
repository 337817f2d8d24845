//! Why actions run, in words.

use zako_core::{ActionReason, Cause, Change, Explanation};

use crate::quantity::show_count;

/// The lines for an action that would run.
pub(crate) fn forecast(action: &ActionReason) -> String {
    let mut lines = format!("would run: {} ({})", action.what, action.owner);
    if action.causes.is_empty() {
        lines.push_str("\n  perhaps: what it needs would be made anew");
    }
    for cause in &action.causes {
        lines.push_str("\n  ");
        lines.push_str(&words(cause));
    }
    lines
}

/// The lines of an explanation: for each action the way from what changed to it.
pub(crate) fn explanation(explanation: &Explanation) -> String {
    let Explanation {
        target,
        would_run,
        actions,
    } = explanation;
    if actions.is_empty() {
        return format!("{target} is up to date, and the last build ran nothing for it");
    }
    let verb = match would_run {
        true => "would run",
        false => "ran in the last build",
    };
    let mut lines = format!("{target}: {} {verb}", show_count(actions.len(), "action"));
    for at in 0..actions.len() {
        lines.push_str("\n\n");
        lines.push_str(&format!("{} ({})", actions[at].what, actions[at].owner));
        for chain in chains(actions, at) {
            lines.push_str("\n  ");
            lines.push_str(&chain);
        }
    }
    lines
}

/// How many ways to one action are shown.
const MAX_CHAINS: usize = 10;

/// The ways from what changed to the action, one for each of its causes.
fn chains(actions: &[ActionReason], at: usize) -> Vec<String> {
    let action = &actions[at];
    let through: Vec<String> = action
        .because
        .iter()
        .map(|before| format!("{} \u{2192} {}", origin(actions, *before), action.what))
        .collect();
    let written_before =
        |cause: &Cause| matches!(cause, Cause::Read { .. }) && !action.because.is_empty();
    let own = action.causes.iter().filter(|cause| !written_before(cause));
    let mut chains: Vec<String> = own
        .map(|cause| format!("{} \u{2192} {}", words(cause), action.what))
        .chain(through)
        .collect();
    let more = chains.len().saturating_sub(MAX_CHAINS);
    if more > 0 {
        chains.truncate(MAX_CHAINS);
        chains.push(format!("and {more} more"));
    }
    chains
}

/// The first way to an action, from what changed.
fn origin(actions: &[ActionReason], mut at: usize) -> String {
    let mut way = vec![actions[at].what.clone()];
    // No longer than there are actions, whatever names whatever.
    for _ in 0..actions.len() {
        match actions[at].because.first() {
            Some(before) => at = *before,
            None => break,
        }
        way.push(actions[at].what.clone());
    }
    way.extend(actions[at].causes.first().map(words));
    way.reverse();
    way.join(" \u{2192} ")
}

/// A cause in words.
pub(crate) fn words(cause: &Cause) -> String {
    let how = |change: &Change| match change {
        Change::Appeared => "is new",
        Change::Changed => "changed",
        Change::Disappeared => "is gone",
    };
    match cause {
        Cause::First => "it has no result yet in this workspace".to_owned(),
        Cause::Declared { differences } => {
            format!("it is declared otherwise: {}", differences.join("; "))
        }
        Cause::Read { path, change } => format!("{path} {}", how(change)),
        Cause::Tool { name } => format!("the program `{name}` is another one"),
        Cause::Output { path, change } => format!("its output {path} {}", how(change)),
        Cause::Uncached => "it runs each time (cache: false)".to_owned(),
        Cause::ResultGone => "what it made is not in the store any more".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_a_line() {
        let action = ActionReason {
            owner: "//a:b".to_owned(),
            what: "compile a.c".to_owned(),
            causes: vec![
                Cause::Read {
                    path: "a.h".to_owned(),
                    change: Change::Changed,
                },
                Cause::Declared {
                    differences: vec!["argument 1: -O1 \u{2192} -O2".to_owned()],
                },
            ],
            because: Vec::new(),
        };
        assert_eq!(
            forecast(&action),
            "would run: compile a.c (//a:b)\n  a.h changed\n  it is declared otherwise: argument 1: -O1 \u{2192} -O2"
        );
        let action = ActionReason {
            causes: Vec::new(),
            ..action
        };
        assert!(forecast(&action).ends_with("perhaps: what it needs would be made anew"));
    }

    #[test]
    fn a_chain_goes_from_what_changed_to_the_action() {
        let read = |path: &str| Cause::Read {
            path: path.to_owned(),
            change: Change::Changed,
        };
        let action = |what: &str, causes: &[Cause], because: &[usize]| ActionReason {
            owner: "//app:server".to_owned(),
            what: what.to_owned(),
            causes: causes.to_vec(),
            because: because.to_vec(),
        };
        let shown = explanation(&Explanation {
            target: "//app:server".to_owned(),
            would_run: false,
            actions: vec![
                action("compile main.c", &[read("a.h")], &[]),
                action("link //app:server", &[read("zako-out/main.o")], &[0]),
            ],
        });
        let expected = "//app:server: 2 actions ran in the last build\n\n\
            compile main.c (//app:server)\n  a.h changed \u{2192} compile main.c\n\n\
            link //app:server (//app:server)\n  a.h changed \u{2192} compile main.c \u{2192} link //app:server";
        assert_eq!(shown, expected);
    }
}
