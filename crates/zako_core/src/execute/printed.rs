//! What an action prints, both streams in the order in which they came, for people: bounded, head and tail.

use std::collections::VecDeque;

use parking_lot::Mutex;
use zako_action::{OutputSink, Stream};

/// How much of the beginning is kept, in bytes; and as much of the end.
pub(super) const MAX_END_BYTES: usize = 32 * 1024;

/// Collects.
#[derive(Debug, Default)]
pub(super) struct Printed(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Kept {
    fn len(&self) -> u64 {
        (self.head.len() + self.tail.len()) as u64 + self.dropped
    }
}

impl Printed {
    pub(super) fn push(&self, chunk: &[u8]) {
        let mut kept = self.0.lock();
        let room = MAX_END_BYTES - kept.head.len();
        let (head, rest) = chunk.split_at(room.min(chunk.len()));
        kept.head.extend_from_slice(head);
        kept.tail.extend(rest);
        let over = kept.tail.len().saturating_sub(MAX_END_BYTES);
        kept.tail.drain(..over);
        kept.dropped += over as u64;
    }

    /// Forgets all: another attempt begins.
    pub(super) fn clear(&self) {
        *self.0.lock() = Kept::default();
    }

    /// How many bytes came since that.
    pub(super) fn written(&self) -> u64 {
        self.0.lock().len()
    }

    /// The text; `None` when nothing was printed.
    pub(super) fn text(&self) -> Option<String> {
        let kept = self.0.lock();
        if kept.head.is_empty() {
            return None;
        }
        let tail: Vec<u8> = kept.tail.iter().copied().collect();
        Some(if kept.dropped == 0 {
            String::from_utf8_lossy(&[&kept.head[..], &tail].concat()).into_owned()
        } else {
            let (head, tail) = (
                String::from_utf8_lossy(&kept.head),
                String::from_utf8_lossy(&tail),
            );
            format!(
                "{head}\n[… {} bytes are left out here …]\n{tail}",
                kept.dropped
            )
        })
    }
}

impl OutputSink for Printed {
    fn write(&self, _stream: Stream, chunk: &[u8]) {
        self.push(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_tail_are_kept() {
        let printed = Printed::default();
        assert_eq!(printed.text(), None);
        printed.push("ä".as_bytes());
        printed.push(b"\xff\n");
        assert_eq!(printed.text().as_deref(), Some("ä\u{fffd}\n"));
        printed.clear();
        let text: Vec<u8> = (0..100_000u32)
            .map(|n| b"0123456789"[n as usize % 10])
            .collect();
        for chunk in text.chunks(777) {
            printed.push(chunk);
        }
        let shown = printed.text().unwrap_or_default();
        let note = format!(
            "\n[… {} bytes are left out here …]\n",
            100_000 - 2 * MAX_END_BYTES
        );
        assert_eq!(shown.len(), 2 * MAX_END_BYTES + note.len());
        assert!(
            shown.starts_with("0123") && shown.contains(&note) && shown.ends_with("6789"),
            "both ends and a note"
        );
    }
}
