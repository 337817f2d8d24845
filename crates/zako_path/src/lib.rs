//! Paths as values: the same on every machine, parsed once at the boundary.
//!
//! A [`NeutralPath`] is relative to some root that the holder knows (a workspace, an output tree) and
//! spelled the same on every platform. An [`AbsolutePath`] is a place on this machine. [`InternedPath`]
//! and [`InternedAbsolutePath`] are their four-byte forms.
//!
//! Must never know: the file system. Nothing here touches a disk; `..` is resolved by text alone, so
//! whoever follows symlinks does that first.
//!
//! ```
//! use zako_path::NeutralPath;
//!
//! let source = NeutralPath::new("lib/src/main.c")?;
//! let header = source.parent().expect("not the root").resolve("../include/lib.h")?;
//! assert_eq!(header.as_str(), "lib/include/lib.h");
//! assert_eq!(source.with_appended(".o")?.as_str(), "lib/src/main.c.o");
//! # Ok::<(), zako_path::PathError>(())
//! ```

mod absolute;
mod error;
mod interned;
mod neutral;
mod portability;

pub use absolute::AbsolutePath;
pub use error::PathError;
pub use interned::{InternedAbsolutePath, InternedPath};
pub use neutral::{Ancestors, Components, NeutralPath};
