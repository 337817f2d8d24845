//! Small records by key, packed into append-only files: for what would cost more as a file of its own.
//!
//! Knows nothing of what records mean. Any number of processes may share a folder; nobody waits for anybody:
//!
//! ```text
//! FOLDER/RANDOM.seg    a header, then records one after another
//! FOLDER/RANDOM.idx    where the records of the segment's first bytes are
//! ```
//!
//! - **One writer a segment.** It holds the file's lock (`flock`) as long as it lives, so a segment without a lock is free
//!   to be carried on by the next writer; many short lives fill one segment, not many. At [`SEGMENT_BYTES`] a
//!   segment is *sealed*: its index covers it whole, and nobody appends to it again.
//! - **Readers trust nothing.** A record counts when it is there whole and its header's checksum fits; its bytes leave only
//!   after their own checksum did. A torn tail is nothing, and the next writer cuts it off. Behind a damaged
//!   header the reader looks for the next good one.
//! - **Nothing is written in place.** Of records with one key the newest counts. A damaged one is hidden by a *tombstone*, a
//!   record that says so, and can then be appended anew.
//! - **Indexes are only a help**, replaced by rename. One that is damaged or not there is made again from the segment.
//!
//! What a writer appends is visible to itself at once, and to others after [`SegmentLog::flush`].

mod format;
mod index;
mod log;
mod scan;
mod verify;
mod writer;

pub use format::{MAX_BODY, RecordKey, SEGMENT_FORMAT};
pub use log::{Fetched, REFRESH_AFTER, SegmentLog, SegmentPurpose};
pub use writer::{FLUSH_AFTER, FLUSH_BYTES, SEGMENT_BYTES};
