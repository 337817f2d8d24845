//! The table of `--timings`: what each action took that ran, the slowest first.

use zako_core::{ActionUsage, BuildEvent};

use crate::quantity::{show_bytes, show_millis};

/// Collects what actions took.
#[derive(Debug, Default)]
pub(crate) struct Timings(Vec<(String, ActionUsage)>);

impl Timings {
    pub(crate) fn on(&mut self, event: &BuildEvent) {
        if let BuildEvent::ActionFinished {
            action,
            usage: Some(usage),
            ..
        } = event
        {
            self.0.push((action.message.clone(), *usage));
        }
    }

    /// The table, without a newline at its end.
    pub(crate) fn table(mut self) -> String {
        if self.0.is_empty() {
            return "no action ran".to_owned();
        }
        // Equal ones stay in the order in which they ended.
        self.0
            .sort_by_key(|(_, usage)| std::cmp::Reverse(usage.wall_ms));
        let head = ["wall", "cpu", "memory", "read", "written", "end"].map(str::to_owned);
        let mut rows = vec![(head, "action".to_owned())];
        rows.extend(
            self.0
                .into_iter()
                .map(|(name, usage)| (cells(&usage), name)),
        );
        let width = |at: usize| {
            rows.iter()
                .map(|(cells, _)| cells[at].chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..6).map(|at| width(at).unwrap_or(0)).collect();
        let line = |(cells, name): &([String; 6], String)| {
            let aligned = cells.iter().zip(&widths);
            let aligned: Vec<String> = aligned
                .map(|(cell, width)| format!("{cell:>width$}"))
                .collect();
            format!("{}  {name}", aligned.join("  "))
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

fn cells(usage: &ActionUsage) -> [String; 6] {
    let end = match (usage.exit, usage.signal) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) if usage.timed_out => "timed out".to_owned(),
        (None, None) => "-".to_owned(),
    };
    let end = match usage.attempts {
        0 | 1 => end,
        attempts => format!("{end}, attempt {attempts}"),
    };
    let memory = match usage.max_rss_bytes {
        0 => "unknown".to_owned(),
        bytes => show_bytes(bytes),
    };
    [
        show_millis(usage.wall_ms),
        show_millis(usage.user_ms + usage.system_ms),
        memory,
        show_bytes(usage.read_bytes),
        show_bytes(usage.written_bytes),
        end,
    ]
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use zako_core::{ActionName, ActionStatus};

    use super::*;

    fn finished(message: &str, usage: Option<ActionUsage>) -> BuildEvent {
        BuildEvent::ActionFinished {
            action: ActionName {
                id: 0,
                owner: "//a".to_owned(),
                mnemonic: "m".to_owned(),
                message: message.to_owned(),
            },
            status: ActionStatus::Ran,
            outputs: Vec::new(),
            usage,
            output: None,
        }
    }

    #[test]
    fn the_slowest_is_first() {
        let mut timings = Timings::default();
        let quick = ActionUsage {
            exit: Some(0),
            attempts: 1,
            wall_ms: 20,
            user_ms: 10,
            ..ActionUsage::default()
        };
        let slow = ActionUsage {
            signal: Some(9),
            attempts: 3,
            wall_ms: 75_000,
            user_ms: 9000,
            system_ms: 500,
            max_rss_bytes: 300 << 20,
            read_bytes: 4096,
            written_bytes: 1 << 20,
            ..ActionUsage::default()
        };
        timings.on(&finished("compile a.c", Some(quick)));
        timings.on(&finished("restored", None));
        timings.on(&finished("link app", Some(slow)));
        assert_snapshot!(timings.table(), @"
              wall     cpu   memory   read  written                  end  action
        1 min 15 s  9.50 s  300 MiB  4 KiB    1 MiB  signal 9, attempt 3  link app
            0.02 s  0.01 s  unknown    0 B      0 B               exit 0  compile a.c
        ");
        assert_eq!(Timings::default().table(), "no action ran");
    }
}
