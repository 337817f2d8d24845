//! The file that `--event-log` writes: each event of a build as one JSON object a line.
//!
//! A log that can't be written never stops a build: it is said once, at the end.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use zako_core::{BuildEvent, Diagnostic, Severity};

use crate::failure::io_failure;

/// A log that is open.
#[derive(Debug)]
pub(crate) struct EventLog {
    path: PathBuf,
    file: BufWriter<File>,
    failure: Option<io::Error>,
}

impl EventLog {
    /// Makes the file, or empties it.
    pub(crate) fn create(path: &Path) -> Result<EventLog, Diagnostic> {
        let file = File::create(path).map_err(|error| {
            io_failure(
                format_args!("write the event log `{}`", path.display()),
                &error,
            )
        })?;
        Ok(EventLog {
            path: path.to_owned(),
            file: BufWriter::new(file),
            failure: None,
        })
    }

    /// Adds an event.
    pub(crate) fn write(&mut self, event: &BuildEvent) {
        if self.failure.is_none() {
            self.failure = self.try_write(event).err();
        }
    }

    fn try_write(&mut self, event: &BuildEvent) -> io::Result<()> {
        serde_json::to_writer(&mut self.file, event)?;
        self.file.write_all(b"\n")?;
        // A watcher of the file sees at once what may be the last for a while; what comes by the thousand waits for company.
        match event {
            BuildEvent::ActionFinished { .. } | BuildEvent::PackageEvaluated { .. } => Ok(()),
            _ => self.file.flush(),
        }
    }

    /// Ends the log; gives a warning if it is not whole.
    pub(crate) fn finish(mut self) -> Option<Diagnostic> {
        let failure = self.failure.take().or_else(|| self.file.flush().err())?;
        let doing = format_args!("write all of the event log `{}`", self.path.display());
        Some(Diagnostic {
            severity: Severity::Warning,
            ..io_failure(doing, &failure)
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_a_json_object_on_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut log = EventLog::create(&path).unwrap();
        log.write(&BuildEvent::Started {
            patterns: vec!["//...".to_owned()],
        });
        log.write(&BuildEvent::Diagnostic(Diagnostic::user("two\nlines")));
        log.write(&BuildEvent::Planned {
            targets: 1,
            actions: 2,
        });
        assert_eq!(log.finish(), None);
        let text = std::fs::read_to_string(&path).unwrap();
        let events: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let kinds: Vec<&str> = events
            .iter()
            .map(|event| event["event"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["started", "diagnostic", "planned"]);
        assert_eq!(events[1]["message"], "two\nlines");
        assert_eq!(events[2]["actions"], 2);
    }

    #[test]
    fn a_log_that_cannot_be_made_is_the_machines_fault() {
        let dir = tempfile::tempdir().unwrap();
        let error = EventLog::create(&dir.path().join("missing/events.jsonl")).unwrap_err();
        assert_eq!(error.fault, zako_core::Fault::Environment);
        assert!(
            error.message.starts_with("cannot write the event log `"),
            "{}",
            error.message
        );
    }
}
