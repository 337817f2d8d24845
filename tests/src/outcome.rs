//! What a run of `zako` came to, with assertions that show all of it when they fail.

use std::fmt;

use serde_json::Value as Json;

use crate::running::Ended;

/// What a run of `zako` came to.
pub struct Outcome {
    line: String,
    code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// What its event log says.
    pub events: Vec<Event>,
}

/// One line of an event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event(Json);

impl Event {
    pub(crate) fn parse(line: &str) -> Event {
        Event(
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("the event log has a bad line: {error}: {line}")),
        )
    }

    /// The text of a field; empty when it has none.
    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// The number at a path such as `/usage/exit`.
    pub fn number(&self, path: &str) -> Option<u64> {
        self.0.pointer(path)?.as_u64()
    }

    fn is(&self, event: &str) -> bool {
        self.text("event") == event
    }
}

impl Outcome {
    pub(crate) fn new(line: String, ended: Ended, events: Vec<Event>) -> Outcome {
        Outcome {
            line,
            code: ended.code,
            stdout: ended.stdout,
            stderr: ended.stderr,
            events,
        }
    }

    /// The same, after it is sure that it exited with `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "the exit code is wrong\n{self}");
        self
    }

    /// The same, after it is sure that it printed all of `parts`.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.printed(part) > 0, "it did not say {part:?}\n{self}");
        }
        self
    }

    /// The same, after it is sure that it printed `part` just once.
    #[track_caller]
    pub fn says_once(self, part: &str) -> Self {
        assert_eq!(self.printed(part), 1, "it should say {part:?} once\n{self}");
        self
    }

    /// The same, after it is sure that it did not print `part`.
    #[track_caller]
    pub fn omits(self, part: &str) -> Self {
        assert_eq!(self.printed(part), 0, "it should not say {part:?}\n{self}");
        self
    }

    /// The same, after it is sure that no action ran and it said so.
    #[track_caller]
    pub fn ran_nothing(self) -> Self {
        assert_eq!(
            self.actions("ran"),
            Vec::<&str>::new(),
            "it ran something\n{self}"
        );
        self.says(&["0 actions run"])
    }

    /// The messages of the actions that ended with `status`, sorted.
    pub fn actions(&self, status: &str) -> Vec<&str> {
        let finished = self
            .events
            .iter()
            .filter(|e| e.is("action-finished") && e.text("status") == status);
        let mut messages: Vec<&str> = finished.map(|e| e.text("message")).collect();
        messages.sort_unstable();
        messages
    }

    /// The packages that were evaluated, sorted.
    pub fn evaluated(&self) -> Vec<&str> {
        let mut packages: Vec<&str> = self
            .events
            .iter()
            .filter(|e| e.is("package-evaluated"))
            .map(|e| e.text("package"))
            .collect();
        packages.sort_unstable();
        packages
    }

    fn printed(&self, part: &str) -> usize {
        self.stdout.matches(part).count() + self.stderr.matches(part).count()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.line)?;
        writeln!(
            f,
            "exit code: {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.stdout, self.stderr
        )?;
        f.write_str("--- events\n")?;
        self.events
            .iter()
            .try_for_each(|event| writeln!(f, "{}", event.0))
    }
}
